"""Sites: the places of a model that hold a rate, and what is known of each."""
