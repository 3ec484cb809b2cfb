from ._attach import attach as attach
from ._attach import detach as detach
from ._attachment import Attachment as Attachment
from ._spread import BoxSpread as BoxSpread
from ._spread import box_spread as box_spread
