"""Show what AppArmor denied to the containers of all nodes, and what to do about each.

    pyinfra inventory.py deploys/denials.py -y [--data since=2h] [--data only=910,953]

Changes nothing; needs no fleet file. `phoenix denials --follow` shows them as they happen.
"""

from deploys.steps.denials import denials

denials()
