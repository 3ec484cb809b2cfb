from . import callbacks as callbacks
from . import layers as layers
from . import metrics as metrics
from . import schedules as schedules
from ._errors import NoEffectError as NoEffectError
from ._errors import ThinnedWarning as ThinnedWarning
from ._log import set_verbosity as set_verbosity
from .callbacks import regularize as regularize
from .diagnosis import diagnose as diagnose
from .surgery import Edit as Edit
from .surgery import Site as Site
from .surgery import SiteList as SiteList
from .surgery import find_sites as find_sites
from .surgery import insert as insert
from .surgery import register_site as register_site
from .surgery import scale_rates as scale_rates
from .surgery import set_rate as set_rate
from .surgery import swap as swap
from .uncertainty import Prediction as Prediction
from .uncertainty import mc_predict as mc_predict

__version__: str
