"""What an Optuna study searches: that it is searched as it was before, and the points of a grid."""

from typing import Any

from omegaconf import DictConfig

from ._errors import ConfigError
from ._resolvers import typed

_GRID = "optuna.samplers.GridSampler"


def overrides(config: DictConfig) -> list[Any]:
    """Return the search space of the configuration and, after it, what was typed; parsed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found: list[Any] = OverridesParser.create().parse_overrides(_lines(config))
    return found


def check_space(study: Any, config: DictConfig) -> None:
    """Refuse what Optuna would refuse in the middle of the sweep.

    Other bounds are well: Optuna's samplers learn from what lies within them. Another kind of
    number or another set of choices is another setting to them.

    Raises:
        ConfigError: if a setting is searched in another way than by the trials of the study.
    """
    from optuna.distributions import check_distribution_compatibility

    space = _space(config)
    for trial in study.get_trials(deepcopy=False):
        for name, before in trial.distributions.items():
            try:
                check_distribution_compatibility(before, space.get(name, before))
            except ValueError:
                was, now = _words(before), _words(space[name])
                msg = (
                    f"Expected `{name}` to be searched as study {study.study_name} began, {was}, "
                    f"got {now}. For another study: hydra.sweeper.study_name=NAME."
                )
                raise ConfigError(msg) from None


def is_grid(config: DictConfig) -> bool:
    """Whether the sampler goes through a grid."""
    return bool(config.hydra.sweeper.sampler.get("_target_") == _GRID)


def points_left(study: Any, config: DictConfig) -> int:
    """Return how many points of the grid no trial has had; Optuna would begin anew at none.

    Raises:
        ConfigError: if the space has no grid.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
    from optuna.samplers import GridSampler

    sweeper = object.__new__(OptunaSweeperImpl)  # what it makes of ranges needs no state
    choices = {}
    for name, one in _space(config).items():
        try:
            choices[name] = sweeper._to_grid_sampler_choices(one)
        except ValueError:
            msg = (
                f"Expected choices for the grid, got `{name}` as {_words(one)}. "
                f"Write {name}=0.1,0.3,0.5, or range(0,0.7,0.1), or another sampler."
            )
            raise ConfigError(msg) from None
    try:
        return len(GridSampler(choices)._get_unvisited_grid_ids(study))
    except TypeError as error:  # texts and numbers, which it cannot sort
        msg = f"Expected the choices of each setting to be all numbers or all names: {error}."
        raise ConfigError(msg) from error


def _space(config: DictConfig) -> dict[str, Any]:
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    searched, fixed = create_params_from_overrides(_lines(config))
    return {name: one for name, one in searched.items() if name not in fixed}


def _lines(config: DictConfig) -> list[str]:
    params = config.hydra.sweeper.get("params") or {}
    return [*(f"{key}={value}" for key, value in params.items()), *typed(config.hydra)]


def _words(distribution: Any) -> str:
    """Say what a distribution of Optuna's holds, such as "a whole number in [1, 9]"."""
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        return f"one of {', '.join(map(str, distribution.choices))}"
    what = "a whole number" if kind.startswith("Int") else "a number"
    steps = f" in steps of {distribution.q:g}" if kind.startswith("Discrete") else ""
    scale = ", on a logarithmic scale" if "Log" in kind else ""
    return f"{what} in [{distribution.low:g}, {distribution.high:g}]{steps}{scale}"
