"""The probe: a part of the training set, evaluated like validation, without a trace."""
