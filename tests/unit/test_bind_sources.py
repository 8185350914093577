"""Which confs the node reads for what they name of it."""

import pytest
from conf_strategies import confs
from hypothesis import example, given

from node import hookscripts, includes, storage
from phoenix.apparmor.observed import HOOK
from phoenix.pve.bind_sources import bind_sources
from phoenix.pve.conf import PveConf
from phoenix.pve.hooks import hook_lines


@given(confs())
@example("mp0:/srv,mp=/a")
@example("mp0: mp=/a,volume=/srv")
@example("rootfs:\t/srv/root")
@example("lxc.mount.entry=\\057srv srv none bind")
@example("[snap]\nmp0: /srv,mp=/a\n")
@example("hookscript: local:snippets/a.sh")
@example("lxc.hook.pre-start: /root/a.sh")
@example("lxc.include=/etc/a")
def test_no_conf_is_passed_over_that_names_something(text):
    conf, data = PveConf.parse(text), text.encode("utf-8", "surrogateescape")
    if bind_sources(conf):
        assert storage._HOLDING.search(data)
    if conf.main["hookscript"] or [*hook_lines(conf.main, HOOK)]:
        assert hookscripts._HOLDING.search(data)
    if conf.main.raw(includes.KEY):
        assert includes._HOLDING.search(data)


@pytest.mark.parametrize("holding", [storage._HOLDING, hookscripts._HOLDING, includes._HOLDING])
def test_an_ordinary_conf_is(holding):
    assert not holding.search(b"rootfs: local:910/vm-910-disk-0.raw,size=4G\nmp0: a:b,mp=/srv\n")
