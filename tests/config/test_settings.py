"""The models themselves: frozen, closed, documented."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.settings import LAYERS, SECRETS, Gossip, Settings, is_list, takes


def test_layers_are_the_sections_of_settings() -> None:
    assert list(LAYERS) == list(Settings.model_fields)


@pytest.mark.parametrize("section", LAYERS)
def test_no_layer_takes_what_it_does_not_know(section: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        LAYERS[section].model_validate({"no_such_key": 1})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Gossip().interval = 1.0  # type: ignore[misc]


def test_the_last_words_of_a_field_count() -> None:
    assert takes("gossip.heartbeat") == "a duration such as 5s, from 10ms to 1h"
    assert takes("mqtt.prefix").startswith("a name")
    with pytest.raises(KeyError):
        takes("mqtt.nothing")


def test_lists_are_lists() -> None:
    for section, layer in LAYERS.items():
        for key, field in layer.model_fields.items():
            assert is_list(f"{section}.{key}") == ("tuple[" in str(field.annotation))


def test_secrets_are_secret_strings() -> None:
    for section, layer in LAYERS.items():
        for key, field in layer.model_fields.items():
            assert (f"{section}.{key}" in SECRETS) == ("SecretStr" in str(field.annotation))
