"""What `RunRecord` and `WandbDashboard` write down of a run."""
