"""What is sent upstream follows what the Models API and the configuration say of a model, while the gateway runs."""

import asyncio
from typing import Any

import pytest

from gateway.config import AbilitiesConfig, ModelsConfig
from tests.scenarios.harness import PATH, quick_gateway
from tests.support import messages
from tests.support.gateway import Config, RunningGateway, config_for, key, with_settings
from tests.support.scripted import Answer, ScriptedUpstream, json_answer
from translators.models import EFFORT_LEVELS

KINDS = ("adaptive", "enabled", "disabled", "between_tools")
HI = [{"role": "user", "content": "Hi"}]


def info(
    model: str, *, thinking: tuple[str, ...] = ("adaptive",), efforts: tuple[str, ...] = EFFORT_LEVELS, **more: Any
) -> dict[str, Any]:
    """A model as the Models API describes it."""
    return {
        "type": "model",
        "id": model,
        "display_name": model,
        "created_at": "2026-11-09T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": {
            "effort": {
                "supported": bool(efforts),
                **{level: {"supported": level in efforts} for level in EFFORT_LEVELS},
            },
            "thinking": {
                "supported": True,
                "types": {kind: {"supported": kind in thinking} for kind in KINDS},
            },
        },
        **more,
    }


def page(*infos: dict[str, Any]) -> Answer:
    return json_answer(200, {"data": list(infos), "has_more": False, "first_id": None, "last_id": None})


def configured(upstream: ScriptedUpstream, refresh_seconds: float = 3600.0, **abilities: AbilitiesConfig) -> Config:
    """A configuration with what the operator says of models; an underscore stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in abilities.items()}
    models = ModelsConfig(abilities=named, refresh_seconds=refresh_seconds)
    return with_settings(config_for(key(upstream.base_url)), models=models)


async def refreshed(running: RunningGateway, model: str) -> None:
    """Until upstream's list, which has this model of its own, is known."""
    http = running.http()
    async with asyncio.timeout(60):
        while (await http.get(f"/v1/models/{model}")).status_code != 200:
            pass


async def sent(running: RunningGateway, upstream: ScriptedUpstream, model: str, **request: Any) -> dict[str, Any]:
    """The body that upstream gets."""
    upstream.always(json_answer(200, messages.message()))
    asked = {"model": model, "messages": HI, "max_tokens": 2000, **request}
    response = await running.http().post(PATH, json=asked)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = upstream.received[-1].json
    return body


async def test_an_unknown_model_is_asked_for_what_upstreams_list_says_of_it(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-new-7", thinking=("adaptive", "disabled"), efforts=("low", "high"))))
    async with quick_gateway(key(upstream.base_url)) as running:
        # Who comes before the list gets the newest generation's row, which cannot be kept from thinking.
        await refreshed(running, "claude-new-7")
        off = await sent(running, upstream, "claude-new-7", reasoning_effort="none")
        most = await sent(running, upstream, "claude-new-7", reasoning_effort="max")

    assert off["thinking"] == {"type": "disabled"}
    assert most["output_config"]["effort"] == "high"


async def test_before_the_list_an_unknown_model_is_taken_for_the_strictest(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        body = await sent(running, upstream, "claude-new-7", reasoning_effort="none", temperature=0.5)

    assert "thinking" not in body
    assert "temperature" not in body
    assert body["output_config"]["effort"] == "low"


async def test_a_models_sizes_follow_the_list(upstream: ScriptedUpstream) -> None:
    listed = (info("claude-opus-5", max_tokens=1500, thinking=("adaptive", "disabled")), info("claude-new-7"))
    upstream.models(page(*listed))
    async with quick_gateway(key(upstream.base_url)) as running:
        await refreshed(running, "claude-new-7")
        body = await sent(running, upstream, "claude-opus-5", max_tokens=2000)
        unlimited = await sent(running, upstream, "claude-opus-5", max_tokens=None)

    assert body["max_tokens"] == unlimited["max_tokens"] == 1500


async def test_thinking_goes_out_in_the_type_that_the_list_names(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-sonnet-4-6", thinking=("enabled", "disabled")), info("claude-new-7")))
    async with quick_gateway(key(upstream.base_url)) as running:
        await refreshed(running, "claude-new-7")
        body = await sent(running, upstream, "claude-sonnet-4-6", reasoning_effort="low", max_tokens=4000)

    assert body["thinking"]["type"] == "enabled"


async def test_a_level_that_is_null_in_the_list_costs_nothing_but_that_level(upstream: ScriptedUpstream) -> None:
    older = info("claude-sonnet-4-6", thinking=KINDS[:3], efforts=("low", "medium", "high", "max"))
    # As the official SDK has it: `xhigh: Optional[CapabilitySupport]`.
    older["capabilities"]["effort"]["xhigh"] = None
    upstream.models(page(older, info("claude-new-7")))
    async with quick_gateway(key(upstream.base_url)) as running:
        async with asyncio.timeout(60):
            while not upstream.model_requests:
                await running.http().get("/v1/models")
        for _ in range(5):
            ids = [entry["id"] for entry in (await running.http().get("/v1/models")).json()["data"]]

    assert ids == ["claude-sonnet-4-6", "claude-new-7"]


@pytest.mark.parametrize("refreshes", [0, 1])
async def test_the_configuration_counts_more_than_table_and_list(upstream: ScriptedUpstream, refreshes: int) -> None:
    upstream.models(page(info("claude-opus-5", max_tokens=64_000, efforts=("low", "max")), info("claude-new-7")))
    said = AbilitiesConfig(max_output=1000, efforts=("low", "medium"), thinking=("adaptive",))
    async with quick_gateway(config=configured(upstream, claude_opus_5=said)) as running:
        if refreshes:
            await refreshed(running, "claude-new-7")
        body = await sent(running, upstream, "claude-opus-5", reasoning_effort="xhigh")
        off = await sent(running, upstream, "claude-opus-5", reasoning_effort="none")

    assert (body["max_tokens"], body["output_config"]["effort"]) == (1000, "medium")
    assert "thinking" not in off
    assert off["output_config"]["effort"] == "low"


@pytest.mark.parametrize(
    ("said", "request_", "there"),
    [
        (AbilitiesConfig(sampling="honoured"), {"temperature": 0.5, "reasoning_effort": "none"}, ("temperature", 0.5)),
        (AbilitiesConfig(forced_tools=False), {}, None),
        (AbilitiesConfig(thinks_by_default=False), {"reasoning_effort": "none"}, None),
        (AbilitiesConfig(efforts=()), {"reasoning_effort": "high"}, None),
    ],
)
async def test_each_ability_can_be_said(
    upstream: ScriptedUpstream, said: AbilitiesConfig, request_: dict[str, Any], there: tuple[str, Any] | None
) -> None:
    async with quick_gateway(config=configured(upstream, claude_opus_5=said)) as running:
        body = await sent(running, upstream, "claude-opus-5", **request_)

    if there is not None:
        assert body[there[0]] == there[1]
    elif said.thinks_by_default is False:
        assert "thinking" not in body
    else:
        assert "output_config" not in body


async def test_a_model_without_effort_levels_that_always_thinks_can_be_asked_not_to(upstream: ScriptedUpstream) -> None:
    said = AbilitiesConfig(efforts=(), thinking=("adaptive",))
    async with quick_gateway(config=configured(upstream, claude_opus_5=said)) as running:
        body = await sent(running, upstream, "claude-opus-5", reasoning_effort="none")

    assert "output_config" not in body
    assert body.get("thinking", {"type": "adaptive"})["type"] == "adaptive"


async def test_system_messages_and_prefill_can_be_said(upstream: ScriptedUpstream) -> None:
    conversation = [*HI, {"role": "assistant", "content": "Yes?"}, *HI, {"role": "system", "content": "Brief."}]
    said = AbilitiesConfig(system_messages=False)
    async with quick_gateway(config=configured(upstream, claude_opus_5=said)) as running:
        there = await sent(running, upstream, "claude-opus-5-5", messages=conversation)
        not_there = await sent(running, upstream, "claude-opus-5", messages=conversation)

    assert [message["role"] for message in there["messages"]][-1] == "system"
    assert {message["role"] for message in not_there["messages"]} == {"user", "assistant"}


async def test_the_operators_word_on_a_dateless_name_outlives_a_refresh(upstream: ScriptedUpstream) -> None:
    upstream.models(
        page(
            info("claude-opus-4-5-20251101", thinking=("enabled", "disabled"), max_tokens=64_000), info("claude-new-7")
        )
    )
    config = configured(upstream, claude_opus_4_5=AbilitiesConfig(max_output=1000))
    async with quick_gateway(config=config) as running:
        before = await sent(running, upstream, "claude-opus-4-5")
        await refreshed(running, "claude-new-7")
        after = await sent(running, upstream, "claude-opus-4-5")

    assert (before["max_tokens"], after["max_tokens"]) == (1000, 1000)


async def test_a_later_refresh_changes_what_is_sent(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-opus-5", max_tokens=1500), info("claude-new-7")))
    async with quick_gateway(config=configured(upstream, refresh_seconds=0.02)) as running:
        await refreshed(running, "claude-new-7")
        first = await sent(running, upstream, "claude-opus-5")
        upstream.models(page(info("claude-opus-5", max_tokens=1200), info("claude-new-8")))
        await refreshed(running, "claude-new-8")
        second = await sent(running, upstream, "claude-opus-5")

    assert (first["max_tokens"], second["max_tokens"]) == (1500, 1200)


async def test_what_is_said_of_one_model_leaves_others_alone(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=configured(upstream, claude_opus_5=AbilitiesConfig(max_output=10))) as running:
        body = await sent(running, upstream, "claude-sonnet-5-5")

    assert body["max_tokens"] == 2000
