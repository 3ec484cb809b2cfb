from ._predict import mc_predict as mc_predict
from ._prediction import Moments as Moments
from ._prediction import Prediction as Prediction
from ._sampling import active_sites as active_sites
from ._sampling import sampling as sampling
