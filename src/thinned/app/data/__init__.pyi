from ._shortcut import ShortcutData as ShortcutData
from ._shortcut import marked as marked
from ._sklearn import SklearnData as SklearnData
from ._splits import split as split
from ._weather import WEATHERS as WEATHERS
from ._weather import WeatherData as WeatherData
from ._weather import in_weather as in_weather
