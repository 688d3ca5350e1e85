"""What the gateway says when it starts: where it listens, whose keys it uses, and what to paste."""

from gateway.app import Gateway
from gateway.store import place_in_words

_EXAMPLE = """\
  from openai import OpenAI

  client = OpenAI(base_url="{url}/v1", api_key="{api_key}")
  stream = client.chat.completions.create(
      model="gpt-5", messages=[{{"role": "user", "content": "Hello!"}}], stream=True
  )
  for chunk in stream:
      print(chunk.choices[0].delta.content or "", end="")
"""


def banner(gateway: Gateway, url: str, version: str) -> str:
    """The text for standard output, once the gateway can be reached."""
    workers = gateway.config.server.workers
    return "\n".join(
        [
            f"Dragoman {version} listens on {url}/v1",
            "",
            f"  keys     {_keys(gateway)}",
            f"  callers  {_callers(gateway)}",
            f"  models   {_models(gateway)}",
            f"  store    {place_in_words(gateway.config.store)}",
            *([f"  workers  {workers}"] if workers > 1 else []),
            "",
            "Use it from the OpenAI SDK:",
            "",
            _EXAMPLE.format(url=url, api_key=_api_key(gateway)),
            "Stop it with Ctrl-C.",
        ]
    )


def _keys(gateway: Gateway) -> str:
    keys = gateway.config.keys
    if not keys:
        return "none: callers send their own Anthropic key (sk-ant-...), which is used for their requests only"
    return f"{len(keys)}: " + ", ".join(f"{key.name} ({key.base_url})" for key in keys)


def _callers(gateway: Gateway) -> str:
    clients = gateway.config.clients
    if not clients:
        return "anybody on this machine (no clients are configured)"
    return f"{len(clients)}, each with a key: " + ", ".join(client.name for client in clients)


def _models(gateway: Gateway) -> str:
    lines = [f"{alias} -> {model}" for alias, model in gateway.aliases.table.items()]
    lines.append("every other name goes upstream as it is, claude-... for example")
    return "\n           ".join(lines)


def _api_key(gateway: Gateway) -> str:
    if gateway.config.clients:
        return "YOUR_CLIENT_KEY"
    return "any-text" if gateway.config.keys else "sk-ant-..."
