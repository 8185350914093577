"""Profiles rendered from their templates, for one node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from jinja2 import DictLoader, StrictUndefined

from phoenix.apparmor.abi import abi_name
from phoenix.apparmor.allows import written_allows, written_audits
from phoenix.apparmor.observed import MARKER, PROFILE_NAME, ObservedAppArmor
from phoenix.apparmor.overlay import beaten, rules, variables
from phoenix.apparmor.profile_text import read_profiles
from phoenix.fleet.overlays import overlay_file
from phoenix.plan.confinement import Confinement
from phoenix.plan.guest_paths import DEFAULT_PATHS, GuestPaths
from phoenix.text.printable import printable
from phoenix.text.sandbox import Compiled, Sandbox

#: Hundreds of containers may each have a profile of their own, of a few templates.
_COMPILED = Compiled()

_NO_USERNS = re.compile(r"^\s*(?:audit\s+)?deny\s+userns\b", re.MULTILINE)


class ProfileError(ValueError):
    """A profile cannot be rendered: nobody wrote its template, or the template is broken."""


def render_profile(
    confinement: Confinement,
    sources: Mapping[str, str],
    node: ObservedAppArmor,
    paths: GuestPaths = DEFAULT_PATHS,
) -> str:
    """Render a form of the template `NAME.j2` for a node's parser and abstractions.

    A template may be somebody else's: it is rendered in `phoenix.text.sandbox`.

    `sources`: file name to template text; `paths`: what its users have where. Raises
    `ProfileError`.
    """
    name = confinement.template
    if problem := confinement.problem(profile_names(sources)):
        raise ProfileError(problem)
    if f"{name}.j2" not in sources:
        known = ", ".join(profile_names(sources))
        raise ProfileError(f"no template {name}.j2; there are: {known}")
    # AppArmor profiles are no HTML: nothing to escape
    environment = Sandbox(
        loader=DictLoader(dict(sources)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        bytecode_cache=_COMPILED,
    )
    modern = node.parser is not None and node.parser >= (4, 0)
    values = {
        "marker": MARKER,
        "name": confinement.profile,
        "flags": ",".join(_flags(confinement)),
        "stacked": confinement.stacked,
        "allows": confinement.allows,
        "audits": confinement.audits,
        "overlay": _indented(confinement.overlay),
        "overlay_file": overlay_file(confinement.own or 0),
        # no quantifiers in a profile's patterns
        "docker_id": "[0-9a-f]" * 64,
        # in the list of what is denied: the folder whose name begins so is not
        "binfmt": "b" if "binfmt" in confinement.allows else "",
        "data_roots": paths.data_roots,
        "sources": paths.sources,
        "abi": abi_name(node),
        # rule classes and a mount flag that parsers before 4.0 do not know
        "has_userns": modern,
        "has_mqueue": modern,
        # a condition around rules other than those for files
        "has_conditions": modern,
        "nosymfollow": "nosymfollow," if modern else "",
    }
    try:
        text = environment.get_template(f"{name}.j2").render(values)
    except Exception as error:  # what a template says runs, and may fail in any way
        line = getattr(error, "lineno", None)
        file = getattr(error, "name", None) or f"{name}.j2"
        where = f" (line {line} of {file})" if line else ""
        said = printable(str(error), limit=None)
        raise ProfileError(f"{name}.j2 does not render{where}: {said}") from None
    _check_form(confinement, text)
    if confinement.overlay:
        _check_overlay(confinement, text)
    return text


def profile_names(sources: Iterable[str]) -> list[str]:
    """The profiles that files of templates declare: `lxc-*.j2`; the rest is shared text."""
    return sorted(
        stem
        for file in sources
        if PROFILE_NAME.fullmatch(stem := file.removesuffix(".j2")) and file.endswith(".j2")
    )


def _flags(confinement: Confinement) -> Iterable[str]:
    # paths that lead out of the container's mounts, and deleted ones, are judged as they are
    yield from ("attach_disconnected", "mediate_deleted")
    if confinement.mode == "complain":
        yield "complain"


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _check_overlay(confinement: Confinement, text: str) -> None:
    """Refuse an overlay that a template has no place for, or that does nothing in it."""
    template, file = confinement.template, overlay_file(confinement.own or 0)
    if _indented(confinement.overlay) not in text:
        raise ProfileError(
            f"{template}.j2 has no place for {file}: extend base.j2, or write "
            '{% include "overlay.j2" %} at its end'
        )
    written = rules(confinement.overlay)
    unset = variables(written) - read_profiles(text).variables
    if unset:
        raise ProfileError(f"{file}: {template}.j2 sets no @{{{min(unset)}}}: write the path out")
    for rule, deny in beaten(written, text):
        raise ProfileError(
            f"{file}: `{printable(str(rule))}` does nothing, `{printable(str(deny))}` of "
            f"{template}.j2 beats it: take it out"
        )


def _check_form(confinement: Confinement, text: str) -> None:
    """Refuse a template that stands for itself and renders as something else than was asked."""
    lacks = {*confinement.allows} - written_allows(text) | {*confinement.audits} - written_audits(
        text
    )
    if lacks:
        raise ProfileError(
            f"{confinement.template}.j2 has no place for {', '.join(sorted(lacks))} "
            "(apparmor_allows, apparmor_audit): extend base.j2, or write "
            '{% include "allows.j2" %} in it'
        )
    for profile in read_profiles(text).profiles:
        if profile.name != confinement.profile:
            continue
        if confinement.mode == "complain" and "complain" not in profile.flags:
            raise ProfileError(
                f"{confinement.template}.j2 has no complain form: write flags=({{{{ flags }}}})"
            )
        if confinement.mode == "enforce" and "complain" in profile.flags:
            raise ProfileError(
                f"{confinement.template}.j2 says complain itself: that confines nothing"
            )
        if "nested-userns" in confinement.allows and _NO_USERNS.search(text):
            raise ProfileError(
                f"{confinement.template}.j2 says deny userns, which beats nested-userns: write "
                '{% if "nested-userns" not in allows %}deny userns,{% endif %}'
            )
        capabilities = [rule.words[1:] for rule in profile.rules if rule.words[0] == "capability"]
        if confinement.stacked and not any(
            not names or "mac_admin" in names for names in capabilities
        ):
            # Docker in it could not load its docker-default, and would not start
            raise ProfileError(
                f"{confinement.template}.j2 has no stacked form: write "
                "{% if stacked %}capability mac_admin,{% endif %}"
            )
