"""Show what is confined and what is not, as the host sees it. Changes nothing.

    pyinfra inventory.py deploys/audit.py -y [--data strict=true]

strict=true: exit code 1 if anything needs attention.
"""

from deploys.steps.audit import audit

audit()
