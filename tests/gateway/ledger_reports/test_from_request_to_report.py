"""What callers do stands in every report, after the gateway that served them has ended."""

import time
from pathlib import Path
from typing import Any

import pytest

from gateway.config import AdminConfig
from tests.gateway.ledger_reports.conftest import ADMIN
from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import Config, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer
from tests.support.stored_keys import KeyDesk

HEADERS = {"authorization": f"Bearer {ADMIN}"}
USAGE = {"input_tokens": 1_000, "cache_read_input_tokens": 200, "output_tokens": 500}
ANSWER = json_answer(200, messages.message([{"type": "text", "text": "Hello"}], usage=USAGE))


def configured(upstream: ScriptedUpstream, desk: KeyDesk) -> Config:
    config = with_settings(config_for(key(upstream.base_url)), admin=AdminConfig(api_key=Secret(ADMIN)))
    return desk.within(config)


async def test_a_request_is_in_our_report_and_in_openais(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    desk = KeyDesk(tmp_path)
    made = desk.make("team-a", group="research")
    upstream.script(ANSWER, error_answer(529, "overloaded_error", "busy"), ANSWER)
    config, caller = configured(upstream, desk), {"authorization": f"Bearer {made.key.reveal()}"}
    async with quick_gateway(config=config) as running:
        for user in ("anna", "bert"):
            answer = await running.http().post(PATH, json={**asking(), "user": user}, headers=caller)
            assert answer.status_code == 200, answer.text

    async with quick_gateway(config=config) as running:
        client = running.http()
        ours = (await client.get("/admin/usage", params={"by": "key,group"}, headers=HEADERS)).json()
        users = (await client.get("/admin/usage", params={"by": "end_user"}, headers=HEADERS)).json()
        query: dict[str, Any] = {"start_time": int(time.time()) - 60, "bucket_width": "1m", "group_by[]": "project_id"}
        minutes = (await client.get("/v1/organization/usage/completions", params=query, headers=HEADERS)).json()
        query = {"start_time": int(time.time()) - 60}
        costs = (await client.get("/v1/organization/costs", params=query, headers=HEADERS)).json()

    (line,) = ours["data"]
    assert (line["key_name"], line["group"], line["requests"]) == ("team-a", "research", 2)
    assert (line["input_tokens"], line["cache_read_tokens"], line["output_tokens"]) == (2_000, 400, 1_000)
    assert line["cost_usd"] == ours["total"]["cost_usd"] != "0.00"
    assert len({entry["end_user"] for entry in users["data"]}) == 2
    assert not {"anna", "bert"} & {entry["end_user"] for entry in users["data"]}
    found = [result for bucket in minutes["data"] for result in bucket["results"]]
    assert sum(result["num_model_requests"] for result in found) == 2
    assert {result["project_id"] for result in found} == {"research"}
    paid = [result["amount"]["value"] for bucket in costs["data"] for result in bucket["results"]]
    assert sum(paid) == pytest.approx(float(line["cost_usd"]))
