from ._dropout_scheduler import DropoutScheduler as DropoutScheduler
from ._monitor import OverfittingMonitor as OverfittingMonitor
from ._run_record import RunRecord as RunRecord
