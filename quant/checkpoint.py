"""Models by name and checkpoints from files, without ever unpickling code."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hessbit.errors import ConfigError, ModelError


def load_model(
    spec: str = "hessbit.quant.zoo:ResNet8", checkpoint: str | Path | None = None
) -> nn.Module:
    """Build a network by name and load its checkpoint.

    Parameters
    ----------
    spec : str
        ``"package.module:Class"`` or ``"file.py:Class"``; the class is called without arguments.
        The module's code runs: name only modules that you trust.
    checkpoint : path, optional
        As for `load_checkpoint`.

    Returns
    -------
    nn.Module
        In eval mode.

    Raises
    ------
    ConfigError
        When the spec does not name a network.
    ModelError
        From `load_checkpoint`.
    """
    where, colon, attribute = spec.rpartition(":")
    if not colon or not where or not attribute:
        raise ConfigError(f"model {spec!r}: write package.module:Class or file.py:Class")
    try:
        if where.endswith(".py"):
            if not Path(where).is_file():
                raise ConfigError(f"model {spec!r}: no file {where}")
            found = importlib.util.spec_from_file_location(Path(where).stem, where)
            assert found is not None and found.loader is not None
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
    except (ImportError, SyntaxError) as error:
        raise ConfigError(f"model {spec!r}: cannot import {where}: {error}") from error
    factory: Any = getattr(module, attribute, None)
    if not callable(factory):
        raise ConfigError(f"model {spec!r}: {where} has no class {attribute}")
    try:
        model = factory()
    except TypeError as error:
        raise ConfigError(f"model {spec!r}: {attribute}() needs arguments: {error}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model {spec!r}: {attribute}() is not a torch.nn.Module")
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model.eval()


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load weights in place from safetensors or from a torch file with ``weights_only=True``.

    A dictionary with one key ``state_dict`` or ``model`` is unwrapped, and the prefix ``module.``
    of a data-parallel network is removed. Keys ``num_batches_tracked`` may be absent.

    Raises
    ------
    ModelError
        When the file is missing or corrupt, belongs to another network or holds NaN or infinity.
    """
    path = Path(path)
    state = _read(path)
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    state = {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, torch.Tensor)}
    own = model.state_dict()
    missing = sorted(k for k in own if k not in state and not k.endswith("num_batches_tracked"))
    extra = sorted(k for k in state if k not in own)
    wrong = sorted(k for k in own if k in state and own[k].shape != state[k].shape)
    faults = []
    for word, keys in (("lacks", missing), ("has unknown", extra), ("has another shape of", wrong)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            faults.append(f"{word} {', '.join(keys[:3])}{more}")
    if faults:
        raise ModelError(f"{path} is a checkpoint of another network: it " + "; ".join(faults))
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"{path}: {key} holds NaN or infinite values; use another checkpoint")
    model.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"checkpoint {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many types
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"checkpoint {path} cannot be read: {line}") from error
    if not isinstance(state, dict):
        raise ModelError(f"checkpoint {path} holds a {type(state).__name__}; need a state dict")
    return state
