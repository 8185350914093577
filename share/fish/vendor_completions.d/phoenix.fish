# Written by `make reference`, from the parsers. The functions are shtab's (MPL-2.0).

# Custom Preamble
function _phoenix_ctids
  grep -oE '"[1-9][0-9]{2,8}" *:' phoenix_lxc_configs.json 2>/dev/null | tr -dc '0-9\n'
end
# End Custom Preamble

# Parse current commandline:
# - _shtab_phoenix_cmdpath=(sub)command path seen so far
# - _shtab_phoenix_npos=number of positional arguments given after it
# - options are skipped based on _shtab_phoenix_opts_with_value & _shtab_phoenix_commands lists
function _shtab_phoenix_scan
  set -g _shtab_phoenix_cmdpath ''
  set -g _shtab_phoenix_npos 0
  set -l tokens (commandline -opc)
  set -e tokens[1]
  set -l expect_value 0
  for t in $tokens
    if test $expect_value -eq 1
      set expect_value 0
      continue
    end
    switch "$t"
      case '--*=*'
        continue
      case '-*'
        if contains -- $t $_shtab_phoenix_opts_with_value
          set expect_value 1
        end
        continue
      case '*'
        if test $_shtab_phoenix_npos -eq 0
          set -l candidate $t
          if test -n "$_shtab_phoenix_cmdpath"
            set candidate "$_shtab_phoenix_cmdpath $t"
          end
          if contains -- $candidate $_shtab_phoenix_commands
            set -g _shtab_phoenix_cmdpath $candidate
            continue
          end
        end
        set -g _shtab_phoenix_npos (math $_shtab_phoenix_npos + 1)
    end
  end
end

# Condition helper: true if the current (sub)command path equals the given one.
function _shtab_phoenix_using
  _shtab_phoenix_scan
  test "$_shtab_phoenix_cmdpath" = "$argv"
end

set -g _shtab_phoenix_commands doctor harden audit create rollback host-prep check schema adopt lint denials learn lab 'lab up' 'lab reset' 'lab zfs' 'lab tools' 'lab down' 'lab ssh' 'lab status'
set -g _shtab_phoenix_opts_with_value --base --cluster --data --except --fleet --name --node --nodes --only --profile --scope --since --stack

complete -c phoenix -e
complete -c phoenix -f

complete -c phoenix -n _shtab_phoenix_using -s h -l help -d 'show this help message and exit'
complete -c phoenix -n _shtab_phoenix_using -l version -d 'show program'"'"'s version number and exit'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a doctor -d 'take a first look: what can be hardened, what not and why'
complete -c phoenix -n '_shtab_phoenix_using doctor' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: none)'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using doctor' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using doctor' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using doctor' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using doctor; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a harden -d 'bring the containers under their profiles, one at a time'
complete -c phoenix -n '_shtab_phoenix_using harden' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using harden' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using harden' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: phoenix_lxc_configs.json in this folder)'
complete -c phoenix -n '_shtab_phoenix_using harden' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using harden' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using harden' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using harden' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using harden' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using harden' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using harden; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a audit -d 'show what is confined and what is not'
complete -c phoenix -n '_shtab_phoenix_using audit' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using audit' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using audit' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: phoenix_lxc_configs.json in this folder)'
complete -c phoenix -n '_shtab_phoenix_using audit' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using audit' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using audit' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using audit' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using audit' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using audit' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using audit; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a create -d 'make what the fleet file describes and no node has'
complete -c phoenix -n '_shtab_phoenix_using create' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using create' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using create' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: phoenix_lxc_configs.json in this folder)'
complete -c phoenix -n '_shtab_phoenix_using create' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using create' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using create' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using create' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using create' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using create' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using create; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a rollback -d 'roll back a run of harden, create or host-prep'
complete -c phoenix -n '_shtab_phoenix_using rollback' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using rollback' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using rollback' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using rollback' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using rollback' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using rollback' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using rollback' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using rollback' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using rollback; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a host-prep -d 'the part of harden that touches no container'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l cluster -xka "(__fish_complete_user_at_hosts)" -d 'all members of this node'"'"'s cluster instead'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: phoenix_lxc_configs.json in this folder)'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers and no others, as in 910,953'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l data -x -d 'may be given more than once; a relative path is one from this folder on'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l dry -d 'show what would be done'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -s y -l yes -d 'do not ask before anything is changed'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -l json -d 'pyinfra'"'"'s JSON on stdout'
complete -c phoenix -n '_shtab_phoenix_using host-prep' -s v -d 'tell more; up to -vvv'
complete -c phoenix -n '_shtab_phoenix_using host-prep; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_user_at_hosts)" -d 'a node as for ssh, root@pve1, or @local for this machine (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node)'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a check -d 'validate a fleet file and show what it means'
complete -c phoenix -n '_shtab_phoenix_using check' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using check' -l json -d 'one JSON object on stdout'
complete -c phoenix -n '_shtab_phoenix_using check' -s v -l verbose -d 'also list the keys that mean nothing here'
complete -c phoenix -n '_shtab_phoenix_using check; and test $_shtab_phoenix_npos -eq 0' -ka "(__fish_complete_path (commandline -ct))" -d 'the fleet file'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a schema -d 'print the JSON Schema of fleet files'
complete -c phoenix -n '_shtab_phoenix_using schema' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a adopt -d 'show or make the change that confines the containers'
complete -c phoenix -n '_shtab_phoenix_using adopt' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using adopt' -l profile -x -d 'the profile to name for those with Docker (default: lxc-docker-nested), and for all that --only names'
complete -c phoenix -n '_shtab_phoenix_using adopt' -l only -xka "(__fish_complete_list , _phoenix_ctids)" -d 'change exactly these containers, whatever they name now'
complete -c phoenix -n '_shtab_phoenix_using adopt' -l except -xka "(__fish_complete_list , _phoenix_ctids)" -d 'leave these containers as they are'
complete -c phoenix -n '_shtab_phoenix_using adopt' -l scope -xka "all docker" -d 'docker: change those with the docker feature alone (default: all)'
complete -c phoenix -n '_shtab_phoenix_using adopt' -l write -d 'change the file; what it was is kept beside it as FILE.bak-TIME'
complete -c phoenix -n '_shtab_phoenix_using adopt; and test $_shtab_phoenix_npos -eq 0' -ka "(__fish_complete_path (commandline -ct))" -d 'the fleet file'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a lint -d 'find what is wrong with AppArmor profiles for containers'
complete -c phoenix -n '_shtab_phoenix_using lint' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lint' -l name -x -d 'the name that the containers use (default: the file'"'"'s, if it begins with lxc-)'
complete -c phoenix -n '_shtab_phoenix_using lint' -l base -xka "(__fish_complete_directories)" -d 'where includes and abis are looked up, such as a copy of a node'"'"'s /etc/apparmor.d (default: /etc/apparmor.d)'
complete -c phoenix -n '_shtab_phoenix_using lint' -l json -d 'one JSON object on stdout'
complete -c phoenix -n '_shtab_phoenix_using lint; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_path (commandline -ct))" -d 'a profile; - for stdin'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a denials -d 'show what AppArmor denied to containers, also as it happens'
complete -c phoenix -n '_shtab_phoenix_using denials' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using denials' -l since -x -d 'from then on: 45m, 2h, 3d, 1w, or a time like 2026-11-22T14:30 (default: from each container'"'"'s start on; with --follow: from now on)'
complete -c phoenix -n '_shtab_phoenix_using denials' -l node -xka "(__fish_complete_user_at_hosts)" -d 'ask this node, as for ssh; may be given more than once (default: those of PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node, else the lab)'
complete -c phoenix -n '_shtab_phoenix_using denials' -l json -d 'JSON, with --follow one object a line'
complete -c phoenix -n '_shtab_phoenix_using denials' -s f -l follow -d 'go on, and tell each new kind as it happens'
complete -c phoenix -n '_shtab_phoenix_using denials; and test $_shtab_phoenix_npos -ge 0' -ka "(__fish_complete_list , _phoenix_ctids)" -d 'these containers alone'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a learn -d 'make rules of what was refused to one container, for review'
complete -c phoenix -n '_shtab_phoenix_using learn' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using learn' -l since -x -d 'from then on: 2h, 3d, or 2026-11-22T14:30 (default: since it was started)'
complete -c phoenix -n '_shtab_phoenix_using learn' -l node -xka "(__fish_complete_user_at_hosts)" -d 'ask this node, may be repeated (default: PHOENIX_NODES or PHOENIX_CLUSTER, this machine, or the lab)'
complete -c phoenix -n '_shtab_phoenix_using learn' -l fleet -xka "(__fish_complete_path (commandline -ct))" -d 'the fleet file (default: phoenix_lxc_configs.json)'
complete -c phoenix -n '_shtab_phoenix_using learn' -l write -d 'write the overlay'
complete -c phoenix -n '_shtab_phoenix_using learn; and test $_shtab_phoenix_npos -eq 0' -ka "(__fish_complete_list , _phoenix_ctids)" -d 'the container'
complete -c phoenix -n '_shtab_phoenix_using; and test $_shtab_phoenix_npos -eq 0' -a lab -d 'a Proxmox-like node in a virtual machine; see phoenix lab --help'
complete -c phoenix -n '_shtab_phoenix_using lab' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a up -d 'build what is missing and boot, or load the state '"'"'clean'"'"''
complete -c phoenix -n '_shtab_phoenix_using lab up' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab up' -l stack -xka "stable current" -d 'which one; default: $PHOENIX_LAB_STACK, else stable'
complete -c phoenix -n '_shtab_phoenix_using lab up' -l nodes -xka "1 2" -d '2: a second node, with which it is a cluster; it stays until '"'"'down'"'"''
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a reset -d 'put the running node back into the state '"'"'clean'"'"''
complete -c phoenix -n '_shtab_phoenix_using lab reset' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab reset' -l stack -xka "stable current" -d 'which one; default: $PHOENIX_LAB_STACK, else the first that runs'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a zfs -d 'put ZFS and CT 959 on it into the running node, until its next reset'
complete -c phoenix -n '_shtab_phoenix_using lab zfs' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab zfs' -l stack -xka "stable current" -d 'which one; default: $PHOENIX_LAB_STACK, else the first that runs'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a tools -d 'install what building and testing takes'
complete -c phoenix -n '_shtab_phoenix_using lab tools' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a down -d 'stop the VMs; their saved states stay'
complete -c phoenix -n '_shtab_phoenix_using lab down' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab down' -l stack -xka "stable current" -d 'which one; default: all'
complete -c phoenix -n '_shtab_phoenix_using lab down' -l purge -d 'remove them and all built images too'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a ssh -d 'a shell on the node, or '"'"'ssh -- COMMAND'"'"''
complete -c phoenix -n '_shtab_phoenix_using lab ssh' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab ssh' -l stack -xka "stable current" -d 'which one; default: $PHOENIX_LAB_STACK, else the first that runs'
complete -c phoenix -n '_shtab_phoenix_using lab ssh' -l node -xka "1 2" -d 'which one of two'
complete -c phoenix -n '_shtab_phoenix_using lab; and test $_shtab_phoenix_npos -eq 0' -a status -d 'whether it runs, and where SSH answers'
complete -c phoenix -n '_shtab_phoenix_using lab status' -s h -l help -d 'show this help message and exit'
complete -c phoenix -n '_shtab_phoenix_using lab status' -l stack -xka "stable current" -d 'which one; default: $PHOENIX_LAB_STACK, else the first that runs'
complete -c phoenix -n '_shtab_phoenix_using lab status' -l json -d json
