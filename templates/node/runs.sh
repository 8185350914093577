#!/bin/sh
# runs all|open - what the journals of this node's runs say, one record a line; asked for by
# facts/journal.py. open: only those of runs that were cut short.
#
#   run r20261122T013000Z-beef
#   entry {"time":…,"ctid":910,"event":"intent",…}
#   active phoenix-harden-r20261122T013000Z-beef-910.service
root=${PHOENIX_ROOT:-}

for folder in "$root"/var/lib/phoenix-harden/runs/*/; do
    [ -s "${folder}journal.jsonl" ] || continue
    if [ "$1" = open ]; then
        # what ends well ends with one of these; a line that was cut off does not
        case $(tail -n 1 "${folder}journal.jsonl") in
        *'"event":"done"'*'}' | *'"event":"re'*'}' | *'"event":"failed"'*'}' | *'"event":"begin"'*'}') continue ;;
        esac
    fi
    folder=${folder%/}
    echo "run ${folder##*/}"
    # a line that was cut off has no end of its own
    sed 's/^/entry /' "$folder/journal.jsonl"
    echo
done
systemctl list-units --plain --no-legend 'phoenix-harden-r*' 2>/dev/null | sed 's/^\([^ ]*\).*/active \1/'
exit 0
