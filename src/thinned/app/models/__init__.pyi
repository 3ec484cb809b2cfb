from ._cnn import cnn as cnn
from ._gru import gru as gru
from ._mlp import mlp as mlp
from ._task import Task as Task
from ._transformer import transformer as transformer
