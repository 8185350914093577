"""Take a first look at nodes: what can be hardened there, what not and why. Changes nothing.

    pyinfra inventory.py deploys/doctor.py -y [--data write=fleet.json]

Needs no fleet file; write=PATH writes one, on this machine, that names what can be hardened.
Exit code 1 if a node cannot be asked, or nothing can be done there as it is.
"""

from deploys.steps.doctor import doctor

doctor()
