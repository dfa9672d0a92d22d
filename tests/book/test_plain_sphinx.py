"""``tools/plain_sphinx.py``: Sphinx is told there what Jupyter Book tells it."""

import pytest
from jupyter_book.config import get_final_config

import plain_sphinx
import stamp
from built_site import ADDRESS

# What Jupyter Book adds that changes no page of ours: its own settings, what Sphinx or an extension
# does by itself, and what is for notebooks that the build runs and for LaTeX.
ADDED = {
    "comments_config", "latex_engine", "myst_url_schemes", "nb_execution_allow_errors",
    "nb_execution_cache_path", "nb_execution_excludepatterns", "nb_execution_in_temp",
    "nb_execution_timeout", "nb_output_stderr", "pygments_style", "suppress_warnings",
    "use_jupyterbook_latex", "use_multitoc_numbering",
}  # fmt: skip


HERE = (plain_sphinx.ROOT / "_config.yml").read_text(encoding="utf-8")
PUBLISHED = stamp.stamped("_config.yml", HERE, ADDRESS)


@pytest.mark.parametrize("config", [HERE, PUBLISHED], ids=["here", "published"])
def test_sphinx_is_told_the_same_without_the_wrapper(config, tmp_path):
    (tmp_path / "_config.yml").write_text(config, encoding="utf-8")
    theirs, _ = get_final_config(
        user_yaml=tmp_path / "_config.yml",
        cli_config={"latex_individualpages": False, "external_toc_path": "_toc.yml"},
    )
    ours = plain_sphinx.options(config)
    theirs["extensions"].remove("jupyter_book")
    always = {"_build", "Thumbs.db", ".DS_Store", "**.ipynb_checkpoints"}
    ours["exclude_patterns"] = sorted({*ours["exclude_patterns"], *always})
    assert theirs.keys() - ours.keys() == ADDED
    theme, their_theme = (each.pop("html_theme_options") for each in (ours, theirs))
    buttons, their_buttons = (each.pop("launch_buttons", {}) for each in (theme, their_theme))
    assert ours == {key: theirs[key] for key in ours}
    assert {"notebook_interface": "classic"} | buttons == set_values(their_buttons)
    assert set_values(theme) == set_values(their_theme)


def set_values(options):
    """Without what is empty; among analytics stands an address even if none are asked for."""
    return {key: value for key, value in options.items() if value and key != "analytics"}
