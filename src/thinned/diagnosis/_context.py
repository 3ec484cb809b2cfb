"""What the rules may look at: a model, what a run of it showed, and what the trainer knows."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thinned._generators import seed_everything
from thinned.diagnosis import _sequence, _trace
from thinned.diagnosis._flow import Flow
from thinned.diagnosis._neutral import untouched
from thinned.surgery import Site, SiteList, find_sites, walk
from thinned.surgery._running.run_example import Arguments, as_arguments, fresh

TORCH_MODULES = "torch.nn."
OF_TORCH = frozenset(vars(nn.Module()))
LAZY = "it has lazy layers that have not seen an input yet; running it would make their weights"


@dataclasses.dataclass(slots=True)
class Run:
    """What two forwards in one mode showed.

    Args:
        flow: the operations of the first.
        same: whether both returned the same, under different seeds.
    """

    flow: Flow
    same: bool


@dataclasses.dataclass(kw_only=True, eq=False)
class Context:
    """What the rules may look at.

    The fields from ``dataset_size`` on are what a trainer knows; the `Diagnosis` callback fills
    them, and ``diagnose(model, **fields)`` takes them too. None means that nobody has said.

    Args:
        model: the model.
        example_input: what to call it with: a tensor, a tuple of arguments, a mapping of keyword
            arguments. Without it rules read the structure only.
        dataset_size: number of training examples.
        world_size: number of processes that train together.
        strategy: name of the strategy (``"ddp"``).
        find_unused_parameters: whether DDP was told to look for parameters without gradient.
        rank_generator_digests: a fingerprint of each rank's random generators.
        at_fit_start: training is about to begin, so every module should be in training mode.
        weight_decay: the largest weight decay of the optimizers' groups.
        scheduled: whether something will change rates during the training.
        rate_ranges: the lowest and the highest rate that will be set, by the path of the site;
            None where only ``scheduled`` is known: any site may then come to any rate.
        runs: the part of the model that is called with the example input; None is the model.
    """

    model: nn.Module
    example_input: Any = None
    dataset_size: int | None = None
    world_size: int | None = None
    strategy: str | None = None
    find_unused_parameters: bool | None = None
    rank_generator_digests: tuple[str, ...] | None = None
    at_fit_start: bool | None = None
    weight_decay: float | None = None
    scheduled: bool | None = None
    rate_ranges: Mapping[str, tuple[float, float]] | None = None
    runs: nn.Module | None = None
    not_run: str = dataclasses.field(default="", init=False)

    def has(self, need: str) -> bool:
        """Say whether a field that a rule needs was given; a failed run counts as no input."""
        if need == "example_input":
            return self.training is not None
        return getattr(self, need) is not None

    @functools.cached_property
    def modules(self) -> dict[str, nn.Module]:
        """The modules by path, each once."""
        return dict(walk(self.model))

    @functools.cached_property
    def paths(self) -> dict[int, str]:
        """The path of each module by the module's id; layers that hooks hold are among them."""
        found = {id(module): path for path, module in walk(self.model)}
        for path, module in self.modules.items():
            for layer in _held_by_hooks(module):
                found.setdefault(id(layer), f"{path}:{getattr(layer, 'kind', 'hook')}".strip(":"))
        return found

    @functools.cached_property
    def sites(self) -> SiteList:
        """All sites; with an example input, whether each is live was tried."""
        if self.example_input is not None and self.runs is None:
            with contextlib.suppress(Exception):  # `training` runs it too, and says what failed
                return find_sites(self.model, example_input=self.example_input)
        return find_sites(self.model)

    def range_at(self, path: str) -> tuple[float, float] | None:
        """Return the lowest and the highest rate that a module's sites will be set to, if any."""
        if self.rate_ranges is None:
            return (0.0, 1.0) if self.scheduled else None
        own = path.partition(":")[0]
        spans = [s for key, s in self.rate_ranges.items() if key.partition(":")[0] == own]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    @functools.cached_property
    def training(self) -> Run | None:
        """Two forwards in training mode; None if they could not be made."""
        return self._run(training=True)

    @functools.cached_property
    def evaluation(self) -> Run | None:
        """Two forwards in evaluation mode; None if they could not be made."""
        return self._run(training=False)

    @functools.cached_property
    def flow(self) -> Flow:
        """What follows what in training: traced if it can be, else read from the structure."""
        run = self.training
        return _sequence.read(self.model, self.paths) if run is None else run.flow

    @functools.cached_property
    def arguments(self) -> Arguments:
        """Positional and keyword arguments to call the model with, on its device."""
        return as_arguments(self.example_input, self.model)

    @contextlib.contextmanager
    def running(self, *, training: bool) -> Iterator[Callable[..., Any]]:
        """Set the mode for a while, and give a function that calls the model on the example.

        Each call gets a copy of the example's tensors, unless it is given arguments.

        In training, parts of a model in training mode that rest in evaluation stay there.
        """
        hidden = [h for m in self.modules.values() for h in hidden_in(m)]
        with untouched(self.model, hidden, self.arguments):
            if not (training and self.model.training):
                self.model.train(training)

            def call(given: Arguments | None = None) -> Any:
                args, kwargs = fresh(self.arguments) if given is None else given
                return (self.runs or self.model)(*args, **kwargs)

            yield call

    def _run(self, *, training: bool) -> Run | None:
        if self.example_input is not None and any(map(is_lazy, self.model.parameters())):
            self.not_run = LAZY
        if self.example_input is None or self.not_run:
            return None
        try:
            with self.running(training=training) as call:
                try:
                    return self._two_forwards(call)
                except ValueError:  # batch norm refuses to train on a single value per channel
                    if not training:
                        raise
                    for module in batch_norms(self.model):
                        module.eval()
                    return self._two_forwards(call)
        except Exception as error:  # somebody's forward may raise anything at all
            self.not_run = f"{type(error).__name__}: {error}".splitlines()[0]
            return None

    def _two_forwards(self, call: Callable[..., Any]) -> Run:
        seed_everything(0)
        boxes = dict(self._black_boxes())
        given = fresh(self.arguments)
        flow, first = _trace.record(lambda: call(given), given, self.paths, boxes)
        seed_everything(1)
        second = call()
        pairs = zip(_trace.tensors(first), _trace.tensors(second), strict=False)
        return Run(flow, all(_alike(a, b) for a, b in pairs))

    def _black_boxes(self) -> Iterator[tuple[int, tuple[str, float]]]:
        """Layers that drop by arithmetic of their own: to the flow, each is one operation."""
        for site in self.sites:
            layer = getattr(site.owner, "layer", site.owner)
            if not isinstance(layer, nn.Module) or isinstance(layer, nn.modules.dropout._DropoutNd):
                continue
            if type(layer).__module__.startswith(TORCH_MODULES) or has_parameters(layer):
                continue
            yield id(layer), (_op_of(site), site.rate)


def drops(site: Site) -> bool:
    """Say whether something is dropped at a site, as far as is known."""
    return site.kind != "placeholder" and site.rate > 0 and site.live is not False


def may_drop(context: Context) -> bool:
    """Say whether a site drops, or may once a schedule moves its rate: many begin at 0."""
    sites = [
        site for site in context.sites if site.kind != "placeholder" and site.live is not False
    ]
    return any(site.rate > 0 or context.scheduled for site in sites)


def has_parameters(module: nn.Module) -> bool:
    """Say whether a module or one below it has parameters."""
    return next(module.parameters(), None) is not None


def batch_norms(model: nn.Module) -> Iterator[nn.Module]:
    """The batch norms of a model, of any number of dimensions."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            yield module


def unregistered(module: nn.Module) -> dict[str, nn.Module]:
    """Modules that a module keeps in plain lists, tuples and dicts, by attribute."""
    found: dict[str, nn.Module] = {}
    for name, value in vars(module).items():
        if name in OF_TORCH:
            continue
        if isinstance(value, list | tuple):
            items = [(f"{name}[{i}]", item) for i, item in enumerate(value)]
        elif isinstance(value, dict):
            items = [(f"{name}[{key!r}]", item) for key, item in value.items()]
        else:
            continue
        known = {id(inner) for inner in module.modules()}
        found.update({n: m for n, m in items if isinstance(m, nn.Module) and id(m) not in known})
    return found


def _op_of(site: Site) -> str:
    if site.kind != "dropout":
        return site.kind
    name = site.cls.lower()
    prefix = "feature_" if "spatial" in name or "feature" in name else ""
    return f"{prefix}alpha_dropout" if "alpha" in name else f"{prefix}dropout"


def hidden_in(module: nn.Module) -> Iterator[nn.Module]:
    """What runs with a module and is registered nowhere: kept in its attributes or its hooks."""
    yield from unregistered(module).values()
    yield from _held_by_hooks(module)


def _held_by_hooks(module: nn.Module) -> Iterator[nn.Module]:
    """Layers inside of the hook objects that `thinned.insert` leaves."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for hook in hooks.values():
            holder = getattr(hook, "__self__", hook)
            if not isinstance(holder, nn.Module) and hasattr(holder, "__dict__"):
                yield from (v for v in vars(holder).values() if isinstance(v, nn.Module))


def _alike(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    a, b = (t if t.layout is torch.strided else t.to_dense() for t in (a, b))
    return bool(torch.equal(a, b) or torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))
