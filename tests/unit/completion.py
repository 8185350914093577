"""Write what bash, zsh and fish complete of `phoenix` anew, from its parsers: `make reference`."""

import argparse
import re
from pathlib import Path

import shtab

from lab.cli import _parser as lab_parser
from phoenix.cli.main import _parser
from phoenix.plan.options import Options

_SHARE = Path(__file__).parents[2] / "share"
FILES = {
    "bash": _SHARE / "bash-completion/completions/phoenix",
    "zsh": _SHARE / "zsh/site-functions/_phoenix",
    "fish": _SHARE / "fish/vendor_completions.d/phoenix.fish",
}
_HEAD = "# Written by `make reference`, from the parsers. The functions are shtab's (MPL-2.0).\n"

#: The CTIDs of the fleet file in the folder one is in.
_CTIDS = f"""grep -oE '"[1-9][0-9]{{2,8}}" *:' {Options().fleet} 2>/dev/null | tr -dc '0-9\\n'"""
_FLEET = {
    "bash": "_phoenix_ctids",
    "zsh": "_phoenix_ctids",
    "fish": "(__fish_complete_list , _phoenix_ctids)",
    "preamble": {
        # after a comma another one
        "bash": f"""\
_phoenix_ctids() {{
  compgen -P "${{1%"${{1##*,}}"}}" -W "$({_CTIDS})" -- "${{1##*,}}"
}}""",
        "zsh": f"""\
_phoenix_ctids() {{
  local -a ctids=(${{(f)"$({_CTIDS})"}})
  (( $#ctids )) && _values -s , CTID $ctids
}}""",
        "fish": f"""\
function _phoenix_ctids
  {_CTIDS}
end""",
    },
}
_LOGIN = {"zsh": "_user_at_host", "fish": "(__fish_complete_user_at_hosts)"}
#: What stands for a value, by the name that the parsers give it.
_VALUES = {
    "FILE": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "CTID": _FLEET,
    "CTID,…": _FLEET,
    "NODE": _LOGIN,
    "USER@NODE": _LOGIN,
}


def completion(shell: str) -> str:
    """The file for a shell as it should be."""
    parser = _parser()
    commands = _commands(parser)
    commands.choices["lab"] = lab_parser()
    # a list shows a line of each
    for one in commands._choices_actions:
        commands.choices[one.dest].description = one.help
    _mark(parser)
    text = shtab.complete(parser, shell)
    return re.sub(r"^(# .*\n)+", _HEAD, text, count=1, flags=re.MULTILINE)


def _mark(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark(command)
        elif action.metavar in _VALUES:
            action.complete = _VALUES[action.metavar]


def _commands(parser: argparse.ArgumentParser) -> argparse._SubParsersAction:
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return commands


if __name__ == "__main__":
    for name, file in FILES.items():
        file.write_text(completion(name), "utf-8")
