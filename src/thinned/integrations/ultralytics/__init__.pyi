from ._attach import attach as attach
from ._attach import detach as detach
from ._attachment import Attachment as Attachment
