from ._sklearn import SklearnData as SklearnData
from ._splits import split as split
