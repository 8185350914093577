"""Write the man page of `phoenix` anew, from its parser: `make reference`."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from phoenix.cli.main import _parser
from phoenix.cli.nodes import CLUSTER, HERE, NODES
from phoenix.fleet.overlays import FOLDER, SUFFIX
from phoenix.plan.options import Options

PAGE = Path(__file__).parents[2] / "share/man/man1/phoenix.1"
#: What `{{…}}` gives is escaped; everything else is roff.
_TEMPLATE = r""".\" written by `make reference`, from the parser of phoenix/cli
.TH PHOENIX 1 "" phoenix\-harden "User Commands"
.SH NAME
phoenix \- bring the containers of a Proxmox VE node under AppArmor
.SH SYNOPSIS
.SY phoenix
\fICOMMAND\fP [\fIARGUMENT\fP\ ...]
.SY phoenix
\fICOMMAND\fP \fB\-\-help\fP
.YS
.SH DESCRIPTION
\&{{ phoenix.about }}
.PP
\&{{ phoenix.end }}
.SH OPTIONS
{%- for entry in phoenix.entries %}
.TP
\fB{{ entry.names }}\fP{% if entry.value %} \fI{{ entry.value }}\fP{% endif %}
\&{{ entry.meaning }}
{%- endfor %}
.SH COMMANDS
{%- for command in commands %}
.SS {{ command.name }}
.SY "phoenix {{ command.name }}"
{%- if command.usage %}
{{ command.usage }}
{%- endif %}
.YS
.PP
\&{{ command.about }}
{%- set same = commands[:loop.index0] | selectattr("entries", "==", command.entries) | list %}
{%- if same and command.entries %}
.PP
Arguments and options: those of
.BR "phoenix {{ same[0].name }}" .
{%- else %}
{%- for entry in command.entries %}
.TP
\fB{{ entry.names }}\fP{% if entry.value %} \fI{{ entry.value }}\fP{% endif %}
\&{{ entry.meaning }}
{%- endfor %}
{%- endif %}
{%- if command.end %}
.PP
\&{{ command.end }}
{%- endif %}
{%- endfor %}
.SH ENVIRONMENT
.TP
.B {{ nodes }}
the nodes where none is named, with commas between them: root@pve1,root@pve2
({{ here }} is this machine)
.TP
.B {{ cluster }}
instead of them: one node, whose cluster's members are all meant
.SH FILES
.TP
.I {{ fleet }}
the fleet file, which says how each container shall be
.TP
.I {{ rules }}
beside it: rules of one container's own
.SH SEE ALSO
.BR pct (1),
.BR lxc.container.conf (5),
.BR apparmor.d (5),
.BR apparmor_parser (8)
"""
_ROFF = {"\\": r"\e", "-": r"\-", "\N{NO-BREAK SPACE}": r"\ "}
_ROFF |= {"'": r"\(aq", '"': r"\(dq", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga"}


@dataclass(frozen=True)
class Entry:
    """An argument or an option."""

    names: str
    value: str
    meaning: str


class Command:
    """What a parser tells of its command line."""

    def __init__(self, parser: argparse.ArgumentParser, about: str | None = None):
        # on one line and plain, whatever the terminal is that this runs in
        parser.formatter_class = partial(argparse.HelpFormatter, width=10_000)
        parser.color = False  # Python 3.14 has it
        usage = parser.format_usage().removeprefix(f"usage: {parser.prog}").strip()
        self.name = parser.prog.removeprefix("phoenix ")
        self.usage = re.sub(
            r"\[.*?\]", lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), usage
        )
        self.about = parser.description or about
        self.end = parser.epilog
        self.entries = [*_entries(parser)]


def _entries(parser: argparse.ArgumentParser) -> Iterator[Entry]:
    for action in parser._actions:
        if action.dest == "help" or isinstance(action, argparse._SubParsersAction):
            continue
        value = action.metavar or "|".join(action.choices or ()) or action.dest.upper()
        meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
        if action.option_strings:
            names = ", ".join(action.option_strings)
            yield Entry(names, "" if action.nargs == 0 else str(value), meaning)
        else:
            yield Entry(str(value), "", meaning)


def page() -> str:
    """The page as it should be."""
    parser = _parser()
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    abouts = {one.dest: one.help for one in commands._choices_actions}
    environment = Environment(finalize=_roff, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE).render(
        phoenix=Command(parser),
        commands=[Command(one, abouts[name]) for name, one in commands.choices.items()],
        nodes=NODES,
        cluster=CLUSTER,
        here=HERE,
        fleet=Options().fleet,
        rules=f"{FOLDER}/CTID{SUFFIX}",
    )


def _roff(value: object) -> object:
    """A text as roff shows it as it is; groff alone reads no UTF-8."""
    if not isinstance(value, str):
        return value
    text = value.translate(str.maketrans(_ROFF))
    return re.sub(r"[^\0-\x7f]", lambda found: rf"\[u{ord(found[0]):04X}]", text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
