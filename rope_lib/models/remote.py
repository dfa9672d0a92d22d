"""Models whose code was never part of transformers, or writes its configuration otherwise."""

from collections.abc import Callable

#: Model types that turn exactly as another one.
ALIASES: dict[str, str] = {}


def _dbrx(config: dict) -> tuple[str, dict, list[str]]:
    """Its base stands in ``attn_config``."""
    inner = config.get("attn_config") or {}
    base = inner.get("rope_theta")
    if base is None or "rope_theta" in config or "rope_parameters" in config:
        return "dbrx", config, []
    note = f"rope_theta = {base} is read from attn_config; transformers 5.23 takes 10,000 instead"
    return "dbrx", {**config, "rope_theta": base}, [note]


def _modernbert(config: dict) -> tuple[str, dict, list[str]]:
    """A null for the local base stands for the global one, in the code that it came with."""
    if "local_rope_theta" not in config or config["local_rope_theta"] is not None:
        return config["model_type"], config, []
    base = config.get("global_rope_theta", 160_000.0)
    note = f"local_rope_theta is null: the global base, {base}, is taken"
    return config["model_type"], {**config, "local_rope_theta": base}, [note]


def _deepseek_v2(config: dict) -> tuple[str, dict, list[str]]:
    """Without latent attention it is a LLaMA."""
    return ("deepseek_v2" if config.get("use_mla", True) else "llama"), config, []


def _phimoe(config: dict) -> tuple[str, dict, list[str]]:
    """transformers 5.23 forgets to change to the long factors."""
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    note = "long_factor serves texts beyond the original length; transformers 5.23 never takes it"
    return "phimoe", config, [note] if given.get("long_factor") else []


#: What has to be brought to the usual form first: from a configuration to its model type, the
#: configuration in that form, and what there is to tell.
LIFTED: dict[str, Callable[[dict], tuple[str, dict, list[str]]]] = {
    "dbrx": _dbrx,
    "modernbert": _modernbert,
    "modernbert-decoder": _modernbert,
    "deepseek_v2": _deepseek_v2,
    "phimoe": _phimoe,
}
#: Model types that may hold one of several language models.
SEVERAL: dict[str, str] = {}
