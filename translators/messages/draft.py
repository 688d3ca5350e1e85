"""What is decided about one request before its conversation is written."""

from dataclasses import dataclass
from functools import partial

from translators.adjustments import Adjustments
from translators.intent import Intent
from translators.kept.turns import Past
from translators.messages.choice import Choice, for_answer, write_choice
from translators.messages.conversation_writer import ConversationWriter
from translators.messages.extensions import Extensions, write_extensions
from translators.messages.formats import AS_IT_COMES, Format, write_format
from translators.messages.message_writer import Taken
from translators.messages.options import Options, Target
from translators.messages.reasoning import Reasoning, write_reasoning
from translators.messages.tool_loop import is_in_tool_loop
from translators.messages.tool_set import Tools
from translators.messages.wishes import Circumstances


@dataclass(slots=True)
class Draft:
    """Everything that was decided about one request before its conversation is written."""

    intent: Intent
    target: Target
    options: Options
    adjustments: Adjustments
    max_tokens: int
    tools: Tools
    extensions: Extensions
    form: Format
    choice: Choice
    reasoning: Reasoning
    writer: ConversationWriter
    past: Past


def decide(
    intent: Intent,
    target: Target,
    options: Options,
    past: Past,
    adjustments: Adjustments,
    limit: tuple[int, bool],
    tools: Tools,
) -> Draft:
    """Each decision after those it depends on: form, choice, thinking, what the conversation may hold."""
    row, refused = target.row, target.refused
    max_tokens, is_limited = limit
    extensions = write_extensions(intent, row, options.allowed_fields, adjustments)
    own_form = "format" in extensions.output_config
    may_force = row.forced_tools and not (tools.definitions or own_form)
    form = AS_IT_COMES
    if (wanted := intent.format) is not None:
        form = write_format(wanted, adjustments, refused, may_force=may_force, field=intent.name_of("format"))
    has_form = form.schema is not None or own_form
    choice = write_choice(intent, tools, row, adjustments, has_format=has_form, refused_schemas=refused)
    if form.tools is not None:
        tools, choice, has_form = form.tools, for_answer(form.tools, row), True
    if tools.strict_schemas and (held := form.schema or choice.format) is not None:
        tools = tools.own()
        tools.make_room(held, adjustments)
    circumstances = Circumstances(
        max_tokens,
        is_limited,
        choice.is_forced,
        partial(is_in_tool_loop, intent.messages, past, intent.places),
        options.always_show_reasoning,
        extensions.effort,
    )
    reasoning = write_reasoning(intent, row, circumstances, adjustments)
    may_prefill = row.prefill and not (reasoning.is_thinking or has_form or choice.format is not None)
    taken = Taken(row.system_messages, may_prefill, "file_ids" in options.allowed_fields, row.compacts)
    writer = ConversationWriter(intent.messages, tools, taken, adjustments, past, intent.places, intent.field_names)
    return Draft(
        intent, target, options, adjustments, max_tokens, tools, extensions, form, choice, reasoning, writer, past
    )
