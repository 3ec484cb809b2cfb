from ._dropout_scheduler import DropoutScheduler as DropoutScheduler
from ._layer_insert import LayerInsert as LayerInsert
from ._layer_swap import LayerSwap as LayerSwap
from ._monitor import OverfittingMonitor as OverfittingMonitor
from ._run_record import RunRecord as RunRecord
from ._progress import ProgressMetrics as ProgressMetrics
from ._wandb_dashboard import WandbDashboard as WandbDashboard
