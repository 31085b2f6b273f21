# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_figw_global_optspecs
    string join \n c/config= output= q/quiet v/verbose color= y/yes h/help V/version
end

function __fish_figw_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_figw_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_figw_using_subcommand
    set -l cmd (__fish_figw_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c figw -n "__fish_figw_needs_command" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_needs_command" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_needs_command" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_needs_command" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_needs_command" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_needs_command" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_needs_command" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_needs_command" -f -a "serve" -d 'Run the gateway'
complete -c figw -n "__fish_figw_needs_command" -f -a "migrate" -d 'Bring the database to this program\'s schema'
complete -c figw -n "__fish_figw_needs_command" -f -a "backup" -d 'Make one backup, verify it, and apply retention'
complete -c figw -n "__fish_figw_needs_command" -f -a "restore" -d 'Put a backup back'
complete -c figw -n "__fish_figw_needs_command" -f -a "wal" -d 'PostgreSQL\'s write-ahead log: archive it, and bring it back'
complete -c figw -n "__fish_figw_needs_command" -f -a "cluster" -d 'Clusters: the places that serve models'
complete -c figw -n "__fish_figw_needs_command" -f -a "endpoint" -d 'Endpoints: models on clusters'
complete -c figw -n "__fish_figw_needs_command" -f -a "federation" -d 'Federations: one model name for several endpoints'
complete -c figw -n "__fish_figw_needs_command" -f -a "maintenance" -d 'Take a cluster out of service, and put it back'
complete -c figw -n "__fish_figw_needs_command" -f -a "fixtures" -d 'The catalogue as files: FIRST\'s Django JSON or figw\'s own YAML'
complete -c figw -n "__fish_figw_needs_command" -f -a "key" -d 'API keys for people and services without another login'
complete -c figw -n "__fish_figw_needs_command" -f -a "login" -d 'Log in with Globus, in the browser'
complete -c figw -n "__fish_figw_needs_command" -f -a "token" -d 'Print an access token, renewed if need be'
complete -c figw -n "__fish_figw_needs_command" -f -a "logout" -d 'Give the login\'s tokens back and remove them'
complete -c figw -n "__fish_figw_needs_command" -f -a "generate" -d 'The files that surround a deployment'
complete -c figw -n "__fish_figw_needs_command" -f -a "config" -d 'Check, show or convert the configuration'
complete -c figw -n "__fish_figw_needs_command" -f -a "rolling-restart" -d 'Restart the fleet one instance at a time, losing no request'
complete -c figw -n "__fish_figw_needs_command" -f -a "health" -d 'Say whether the gateway is well, as monitoring plugins do'
complete -c figw -n "__fish_figw_needs_command" -f -a "doctor" -d 'Go through the production checklists'
complete -c figw -n "__fish_figw_needs_command" -f -a "usage" -d 'Say who used what'
complete -c figw -n "__fish_figw_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c figw -n "__fish_figw_needs_command" -f -a "man" -d 'Write the manual pages to a directory'
complete -c figw -n "__fish_figw_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand serve" -l backend -d 'With --dev: serve every model that the OpenAI-compatible API at URL lists' -r
complete -c figw -n "__fish_figw_using_subcommand serve" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand serve" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand serve" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand serve" -l dev -d 'Try figw out: no configuration needed, everything below ./figw-dev, loopback only'
complete -c figw -n "__fish_figw_using_subcommand serve" -l take-over -d 'Take the place of the process that serves with the same `server.state_dir`, if there is one: it goes on until this one serves, then finishes its requests and ends. No connection is refused meanwhile'
complete -c figw -n "__fish_figw_using_subcommand serve" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand serve" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand serve" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand serve" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand migrate" -l lock-wait -d 'How long to wait for another migration, or another backup, that is running' -r
complete -c figw -n "__fish_figw_using_subcommand migrate" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand migrate" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand migrate" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand migrate" -l plan -d 'Print what would run and which tables it locks, and change nothing'
complete -c figw -n "__fish_figw_using_subcommand migrate" -l check -d 'Exit with 1 unless the schema is exactly this program\'s; change nothing'
complete -c figw -n "__fish_figw_using_subcommand migrate" -l no-backup -d 'Make no backup first'
complete -c figw -n "__fish_figw_using_subcommand migrate" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand migrate" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand migrate" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand migrate" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -l kind -d 'What to back up' -r -f -a "database\t'The database'
config\t'The configuration'
complete\t'Both'"
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "list" -d 'List the backups, oldest first, and whether each is good'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "base" -d 'Copy the whole PostgreSQL server while it runs, for point-in-time recovery'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "verify" -d 'Prove that backups are good: checksums, archives, and the rows of each table'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "prune" -d 'Remove the backups that backup.keep does not keep'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "drill" -d 'Restore the newest backup into a scratch database, by the clock'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "sync" -d 'Upload what is missing off-site, and apply retention there'
complete -c figw -n "__fish_figw_using_subcommand backup; and not __fish_seen_subcommand_from list base verify prune drill sync help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -l local -d 'Leave out the off-site copies, and ask nobody for them'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from base" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -l identity -d 'File with secret keys of age, besides those of backup.identities' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from verify" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -l dry-run -d 'Say of each backup why it stays or goes, and remove nothing'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from prune" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -l into -d 'An empty database to use instead: sqlite:PATH or postgres://…; it is emptied again' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -l identity -d 'File with secret keys of age, besides those of backup.identities' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from drill" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -l dry-run -d 'Say what would be uploaded and removed, and change nothing'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -l new-place -d 'Let copies go to a place that is not the one that was used before'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from sync" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the backups, oldest first, and whether each is good'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "base" -d 'Copy the whole PostgreSQL server while it runs, for point-in-time recovery'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Prove that backups are good: checksums, archives, and the rows of each table'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "prune" -d 'Remove the backups that backup.keep does not keep'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "drill" -d 'Restore the newest backup into a scratch database, by the clock'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "sync" -d 'Upload what is missing off-site, and apply retention there'
complete -c figw -n "__fish_figw_using_subcommand backup; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand restore" -l into -d 'Database to fill: sqlite:PATH or postgres://… [default: the configuration\'s own]' -r
complete -c figw -n "__fish_figw_using_subcommand restore" -l to-time -d 'Lay out a data directory from a base backup, which PostgreSQL then recovers to this moment with archived WAL; --into names the directory' -r
complete -c figw -n "__fish_figw_using_subcommand restore" -l timeline -d 'Timeline to recover along, for the way that an earlier recovery left: its number, such as 1 [default: the newest in the archive]' -r
complete -c figw -n "__fish_figw_using_subcommand restore" -l config-to -d 'Unpack the configuration that is in the backup, into a new or empty directory' -r -F
complete -c figw -n "__fish_figw_using_subcommand restore" -l identity -d 'File with secret keys of age, besides those of backup.identities' -r -F
complete -c figw -n "__fish_figw_using_subcommand restore" -l lock-wait -d 'How long to wait for another run that works on the backups' -r
complete -c figw -n "__fish_figw_using_subcommand restore" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand restore" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand restore" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand restore" -l replace -d 'Replace what is in the database, after a question. Gateways must be drained before (PostgreSQL) or stopped (SQLite)'
complete -c figw -n "__fish_figw_using_subcommand restore" -l no-safety-backup -d 'Make no backup of what is replaced'
complete -c figw -n "__fish_figw_using_subcommand restore" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand restore" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand restore" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand restore" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -f -a "push" -d 'Archive a file of WAL: PostgreSQL\'s `archive_command`'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -f -a "fetch" -d 'Bring back an archived file of WAL: PostgreSQL\'s `restore_command`'
complete -c figw -n "__fish_figw_using_subcommand wal; and not __fish_seen_subcommand_from push fetch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -l lock-wait -d 'How long to wait for another push' -r
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from push" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -l identity -d 'File with secret keys of age, besides those of backup.identities' -r -F
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -l recovery -d 'End with status 200 when anything but a missing file is the matter, so that PostgreSQL stops instead of ending recovery too early'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from fetch" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from help" -f -a "push" -d 'Archive a file of WAL: PostgreSQL\'s `archive_command`'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from help" -f -a "fetch" -d 'Bring back an archived file of WAL: PostgreSQL\'s `restore_command`'
complete -c figw -n "__fish_figw_using_subcommand wal; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "add" -d 'Add a cluster'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "list" -d 'List every cluster'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "show" -d 'Show one cluster in full'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "remove" -d 'Remove a cluster that no endpoint uses'
complete -c figw -n "__fish_figw_using_subcommand cluster; and not __fish_seen_subcommand_from add list show set remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l name -d 'The same, for those who name every value' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l adapter -d 'How its endpoints are reached: direct-api, globus-compute, metis or echo' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l frameworks -d 'Serving frameworks, such as vllm; separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l routes -d 'Routes it offers, separated by commas [default when adding: all]' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l groups -d 'Groups of which a caller must be in one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l domains -d 'Domains of which a caller\'s address must have one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l setting -d 'What its adapter needs, such as `status_url`; repeatable; an empty value removes the key' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l adapter -d 'How its endpoints are reached: direct-api, globus-compute, metis or echo' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l frameworks -d 'Serving frameworks, such as vllm; separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l routes -d 'Routes it offers, separated by commas [default when adding: all]' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l groups -d 'Groups of which a caller must be in one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l domains -d 'Domains of which a caller\'s address must have one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l setting -d 'What its adapter needs, such as `status_url`; repeatable; an empty value removes the key' -r
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from set" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a cluster'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "list" -d 'List every cluster'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show one cluster in full'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a cluster that no endpoint uses'
complete -c figw -n "__fish_figw_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "add" -d 'Add an endpoint; on a terminal, asks for what no flag gives'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "register" -d 'Add an endpoint; on a terminal, asks for what no flag gives'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "list" -d 'List every endpoint'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "show" -d 'Show one endpoint in full'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list or a setting'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "remove" -d 'Remove an endpoint that no federation uses'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "test" -d 'Send one real request to an endpoint\'s back end'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and not __fish_seen_subcommand_from add register list show set remove test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l slug -d 'Unique name [default: made of cluster, framework and model]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l cluster -d 'The cluster it runs on' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l framework -d 'One of the cluster\'s frameworks' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l model -d 'The model\'s name, as callers write it and as the back end knows it' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l adapter -d 'direct-api, globus-compute, metis or echo [default when adding: the cluster\'s]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l api-url -d 'direct-api, metis: base address to which the route is appended, such as `http://host:8000/v1`' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l api-key-env -d 'direct-api, metis: environment variable of the gateway that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l api-key-file -d 'direct-api, metis: file that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l request-timeout -d 'direct-api, metis: how long one whole request may take, such as 120s' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l api-port -d 'globus-compute: port of the model\'s API on the compute node' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l endpoint-uuid -d 'globus-compute: the endpoint for inference' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l function-uuid -d 'globus-compute: the registered inference function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l batch-endpoint-uuid -d 'globus-compute: the endpoint for batches' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l batch-function-uuid -d 'globus-compute: the registered batch function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l max-in-flight -d 'direct-api, globus-compute, metis: most requests sent to it at one time; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l delay -d 'echo: pause before each piece of a stream, such as 20ms' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l groups -d 'Groups of which a caller must be in one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l domains -d 'Domains of which a caller\'s address must have one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l tpm-model -d 'Tokens per minute that all callers together may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l tpm-user -d 'Tokens per minute that one caller may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l enabled -d 'Whether it takes requests [default when adding: true]' -r -f -a "true\t''
false\t''"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l register-functions -d 'globus-compute: register figw\'s own functions for vLLM and use them; the batch function if there is an endpoint for batches'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -l no-check -d 'globus-compute: do not ask whether the compute endpoint exists and is online'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l slug -d 'Unique name [default: made of cluster, framework and model]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l cluster -d 'The cluster it runs on' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l framework -d 'One of the cluster\'s frameworks' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l model -d 'The model\'s name, as callers write it and as the back end knows it' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l adapter -d 'direct-api, globus-compute, metis or echo [default when adding: the cluster\'s]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l api-url -d 'direct-api, metis: base address to which the route is appended, such as `http://host:8000/v1`' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l api-key-env -d 'direct-api, metis: environment variable of the gateway that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l api-key-file -d 'direct-api, metis: file that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l request-timeout -d 'direct-api, metis: how long one whole request may take, such as 120s' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l api-port -d 'globus-compute: port of the model\'s API on the compute node' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l endpoint-uuid -d 'globus-compute: the endpoint for inference' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l function-uuid -d 'globus-compute: the registered inference function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l batch-endpoint-uuid -d 'globus-compute: the endpoint for batches' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l batch-function-uuid -d 'globus-compute: the registered batch function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l max-in-flight -d 'direct-api, globus-compute, metis: most requests sent to it at one time; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l delay -d 'echo: pause before each piece of a stream, such as 20ms' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l groups -d 'Groups of which a caller must be in one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l domains -d 'Domains of which a caller\'s address must have one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l tpm-model -d 'Tokens per minute that all callers together may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l tpm-user -d 'Tokens per minute that one caller may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l enabled -d 'Whether it takes requests [default when adding: true]' -r -f -a "true\t''
false\t''"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l register-functions -d 'globus-compute: register figw\'s own functions for vLLM and use them; the batch function if there is an endpoint for batches'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -l no-check -d 'globus-compute: do not ask whether the compute endpoint exists and is online'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from register" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l cluster -d 'The cluster it runs on' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l framework -d 'One of the cluster\'s frameworks' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l model -d 'The model\'s name, as callers write it and as the back end knows it' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l adapter -d 'direct-api, globus-compute, metis or echo [default when adding: the cluster\'s]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l api-url -d 'direct-api, metis: base address to which the route is appended, such as `http://host:8000/v1`' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l api-key-env -d 'direct-api, metis: environment variable of the gateway that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l api-key-file -d 'direct-api, metis: file that holds the back end\'s API key' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l request-timeout -d 'direct-api, metis: how long one whole request may take, such as 120s' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l api-port -d 'globus-compute: port of the model\'s API on the compute node' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l endpoint-uuid -d 'globus-compute: the endpoint for inference' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l function-uuid -d 'globus-compute: the registered inference function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l batch-endpoint-uuid -d 'globus-compute: the endpoint for batches' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l batch-function-uuid -d 'globus-compute: the registered batch function' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l max-in-flight -d 'direct-api, globus-compute, metis: most requests sent to it at one time; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l delay -d 'echo: pause before each piece of a stream, such as 20ms' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l groups -d 'Groups of which a caller must be in one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l domains -d 'Domains of which a caller\'s address must have one, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l tpm-model -d 'Tokens per minute that all callers together may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l tpm-user -d 'Tokens per minute that one caller may use; 0 for no limit' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l enabled -d 'Whether it takes requests [default when adding: true]' -r -f -a "true\t''
false\t''"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from set" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -l route -d 'The route to ask [default: the first of chat/completions, completions, … that the cluster offers]' -r
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from test" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add an endpoint; on a terminal, asks for what no flag gives'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "list" -d 'List every endpoint'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show one endpoint in full'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list or a setting'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove an endpoint that no federation uses'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send one real request to an endpoint\'s back end'
complete -c figw -n "__fish_figw_using_subcommand endpoint; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "add" -d 'Add a federation'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "list" -d 'List every federation'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "show" -d 'Show one federation in full'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "set" -d 'Change what is given and leave the rest'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "remove" -d 'Remove a federation; its endpoints stay'
complete -c figw -n "__fish_figw_using_subcommand federation; and not __fish_seen_subcommand_from add list show set remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l model -d 'The same, for those who name every value' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l target -d 'An endpoint behind the name; repeatable; when changing, replaces all targets' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l description -d 'A line about it' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l policy -d 'How a target is chosen [default when adding: least-busy]' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -l target -d 'An endpoint behind the name; repeatable; when changing, replaces all targets' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -l description -d 'A line about it' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -l policy -d 'How a target is chosen [default when adding: least-busy]' -r
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from set" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a federation'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "list" -d 'List every federation'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show one federation in full'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change what is given and leave the rest'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a federation; its endpoints stay'
complete -c figw -n "__fish_figw_using_subcommand federation; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -f -a "on" -d 'Take a cluster out of service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -f -a "off" -d 'Put a cluster back into service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -f -a "status" -d 'Show which clusters are out of service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and not __fish_seen_subcommand_from on off status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -l notice -d 'What callers are told' -r
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from on" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from off" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from help" -f -a "on" -d 'Take a cluster out of service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from help" -f -a "off" -d 'Put a cluster back into service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show which clusters are out of service'
complete -c figw -n "__fish_figw_using_subcommand maintenance; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -f -a "load" -d 'Load files as one set: all of it or nothing'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -f -a "dump" -d 'Write the whole catalogue to standard output as YAML, or as JSON with `--output json`'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -f -a "check" -d 'Check files without a database'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and not __fish_seen_subcommand_from load dump check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from load" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from dump" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from help" -f -a "load" -d 'Load files as one set: all of it or nothing'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from help" -f -a "dump" -d 'Write the whole catalogue to standard output as YAML, or as JSON with `--output json`'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check files without a database'
complete -c figw -n "__fish_figw_using_subcommand fixtures; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -f -a "create" -d 'Make a key and show it, this once'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -f -a "list" -d 'List every key, without its text'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -f -a "revoke" -d 'Refuse a key from now on; running gateways follow within 5 seconds'
complete -c figw -n "__fish_figw_using_subcommand key; and not __fish_seen_subcommand_from create list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l name -d 'Your name for the key, such as `ada\'s notebook`' -r
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l user -d 'The user its requests are accounted to, usually an address' -r
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l groups -d 'Groups it brings, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l expires -d 'When it ends: 90d, 2027-01-31 or 2027-01-31T12:00:00Z [default: never]' -r
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l models -d 'Models it is confined to, separated by commas [default: all]' -r
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from create" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from revoke" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a key and show it, this once'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "list" -d 'List every key, without its text'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Refuse a key from now on; running gateways follow within 5 seconds'
complete -c figw -n "__fish_figw_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand login" -l client-id -d 'Client id of the application that logs you in; the gateway\'s operator knows it' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l gateway -d 'Client id of the gateway that the login is for' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l app-name -d 'The application\'s name, which tells its token file from others [default: `inference_app`]' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l policy -d 'Ids of Globus policies that the login must satisfy, separated by commas' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l domain -d 'Domains of identity providers, separated by commas; you must log in with one of them' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l port -d 'Wait for the browser on this port of localhost, 0 for a free one. With a browser on another machine, reach it through `ssh -L PORT:localhost:PORT HOST`' -r
complete -c figw -n "__fish_figw_using_subcommand login" -l timeout -d 'How long to wait for the browser' -r
complete -c figw -n "__fish_figw_using_subcommand login" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand login" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand login" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand login" -l no-browser -d 'Open no browser; name the address, and ask for the code that Globus shows there'
complete -c figw -n "__fish_figw_using_subcommand login" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand login" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand login" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand login" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand login" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand token" -l client-id -d 'Client id of the application that logs you in; the gateway\'s operator knows it' -r
complete -c figw -n "__fish_figw_using_subcommand token" -l gateway -d 'Client id of the gateway that the login is for' -r
complete -c figw -n "__fish_figw_using_subcommand token" -l app-name -d 'The application\'s name, which tells its token file from others [default: `inference_app`]' -r
complete -c figw -n "__fish_figw_using_subcommand token" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand token" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand token" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand token" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand token" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand token" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand token" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand token" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand logout" -l client-id -d 'Client id of the application that logs you in; the gateway\'s operator knows it' -r
complete -c figw -n "__fish_figw_using_subcommand logout" -l gateway -d 'Client id of the gateway that the login is for' -r
complete -c figw -n "__fish_figw_using_subcommand logout" -l app-name -d 'The application\'s name, which tells its token file from others [default: `inference_app`]' -r
complete -c figw -n "__fish_figw_using_subcommand logout" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand logout" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand logout" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand logout" -l all -d 'Give back and remove every token in this application\'s file, whoever obtained it'
complete -c figw -n "__fish_figw_using_subcommand logout" -l force -d 'Remove the tokens from this machine even when Globus Auth cannot be reached'
complete -c figw -n "__fish_figw_using_subcommand logout" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand logout" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand logout" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand logout" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand logout" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "nginx" -d 'nginx in front of all instances, with TLS'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "systemd" -d 'figw as a service of systemd: figw.service and its sockets'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "pgbouncer" -d 'PgBouncer between the instances and PostgreSQL'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "cron" -d 'The jobs that make backups and prove them, for cron'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "logrotate" -d 'logrotate for logging.file, where logrotate keeps all logs of a machine'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "compose" -d 'Everything on one host: figw, PostgreSQL, Redis and nginx, for Docker Compose'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "kubernetes" -d 'Everything for Kubernetes, as one file for `kubectl apply`'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "firewall" -d 'Who may reach which port: users the public one, the admin listener the instances alone'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "prometheus" -d 'What Prometheus scrapes of all instances, and what it alerts of'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "grafana" -d 'The dashboard for Grafana, with a Prometheus as its data source'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "globus-endpoint" -d 'The config.yaml of a Globus Compute endpoint that serves models'
complete -c figw -n "__fish_figw_using_subcommand generate; and not __fish_seen_subcommand_from nginx systemd pgbouncer cron logrotate compose kubernetes firewall prometheus grafana globus-endpoint help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l server-name -d 'Name of the site, such as figw.example.org; repeatable [default: every name]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l certificate -d 'PEM file with the certificate and its chain' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l certificate-key -d 'PEM file with the certificate\'s key' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l https-port -d 'Port for TLS' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l http-port -d 'Port for plain HTTP, which leads to TLS' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l access-log -d 'Access log, or `off`' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l authorities -d 'Authorities of the instances\' own certificates, where their URLs begin with https://' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l part -d 'Which part of the file to print' -r -f -a "all\t'Everything'
site\t'The servers without their upstreams, which stand in a file of their own'
upstream\t'The upstreams alone'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l color -d 'blue or green: print the upstreams of that fleet alone, whose instances have the word in their name. auto, always and never mean colours on standard error, as everywhere' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'
blue\t'For `generate nginx` alone: the instances that are blue'
green\t'For `generate nginx` alone: the instances that are green'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l plain-http -d 'Serve plain HTTP, where something in front speaks TLS'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -l ipv4-only -d 'Listen on IPv4 addresses alone, where the kernel has no others'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from nginx" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l user -d 'Run figw as this user and group' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l program -d 'Where figw is [default: where this program is]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l listen -d 'Where PgBouncer listens [default: as `database.url` has it where `database.migration_url` is set, or else 127.0.0.1:6432]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l auth-file -d 'File with the roles\' password hashes' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l pool-size -d 'Connections to PostgreSQL [default: `database.max_connections` of all instances, at most 60]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from pgbouncer" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -l user -d 'Run the jobs as this user, in the form of /etc/cron.d [default: the form of a user\'s crontab]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from cron" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -l user -d 'Whose log it is' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from logrotate" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l image -d 'figw\'s image' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l instances -d 'Instances of figw [default: as many as the configuration has, at least 2]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l server-name -d 'Name of the site, such as figw.example.org; repeatable [default: every name]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l subnet -d 'Addresses for nginx and the instances, which nothing else around uses' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from compose" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l image -d 'figw\'s image' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l namespace -d 'Namespace of all objects' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l replicas -d 'Pods that serve [default: as many as instances are configured, or else 3]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from kubernetes" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l tool -d 'The program that the rules are for' -r -f -a "nftables\t'nftables: a table beside the others'
ufw\t'ufw: a script that calls it'
firewalld\t'firewalld: a script that calls firewall-cmd'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l public-port -d 'Port that is open to everybody; repeatable [default: that of `server.listen`, or 80 and 443 where nginx stands in front: `server.listen` is a loopback address, or `server.trusted_proxies` is set]' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l admin-from -d 'Address or network, besides the instances\', that may reach `server.admin_listen`, such as Prometheus\'; repeatable' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from firewall" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -l credentials-file -d 'File with `server.admin_token`, where one is set, as Prometheus finds it' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from prometheus" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -l into -d 'Write into this directory, each file under its own name, instead of standard output' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from grafana" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l scheduler -d 'What starts the nodes' -r -f -a "pbs\t'PBS'
slurm\t'Slurm'
local\t'The endpoint\'s own machine'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l display-name -d 'Name in Globus\' web pages' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l allowed-function -d 'Run this function only; repeatable' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l for -d 'Run the functions of this endpoint in the catalogue only; repeatable' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l queue -l partition -d 'Queue of PBS, partition of Slurm' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l account -d 'Account that is charged' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l qos -d 'slurm: quality of service' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l select-options -d 'pbs: what `select` gets besides nodes and CPUs, such as ngpus=4' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l cpus-per-node -d 'pbs: CPUs of each node' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l gpus-per-node -d 'slurm: GPUs of each node' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l scheduler-option -d 'Another option of the scheduler, such as `-l filesystems=home`; repeatable' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l nodes-per-block -d 'Nodes of one job' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l min-blocks -d 'Jobs that are kept however idle' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l init-blocks -d 'Jobs at the start' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l max-blocks -d 'Most jobs at once' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l walltime -d 'How long a job may run, such as 24h' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l idle-timeout -d 'How long a job is kept without requests' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l workers-per-node -d 'Requests that a node works on at once' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l interface -d 'Network interface by which nodes reach the endpoint, such as bond0' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l worker-init -d 'Shell command before the workers start; repeatable' -r
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l worker-init-file -d 'File with the shell commands before the workers start' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from globus-endpoint" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "nginx" -d 'nginx in front of all instances, with TLS'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "systemd" -d 'figw as a service of systemd: figw.service and its sockets'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "pgbouncer" -d 'PgBouncer between the instances and PostgreSQL'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "cron" -d 'The jobs that make backups and prove them, for cron'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "logrotate" -d 'logrotate for logging.file, where logrotate keeps all logs of a machine'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "compose" -d 'Everything on one host: figw, PostgreSQL, Redis and nginx, for Docker Compose'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "kubernetes" -d 'Everything for Kubernetes, as one file for `kubectl apply`'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "firewall" -d 'Who may reach which port: users the public one, the admin listener the instances alone'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "prometheus" -d 'What Prometheus scrapes of all instances, and what it alerts of'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "grafana" -d 'The dashboard for Grafana, with a Prometheus as its data source'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "globus-endpoint" -d 'The config.yaml of a Globus Compute endpoint that serves models'
complete -c figw -n "__fish_figw_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -f -a "check" -d 'Check the configuration and every secret it refers to'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -f -a "show" -d 'Print the effective values, secrets masked'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -f -a "import-env" -d 'Turn a FIRST .env file into YAML on standard output'
complete -c figw -n "__fish_figw_using_subcommand config; and not __fish_seen_subcommand_from check show import-env help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -l inline-secrets -d 'Write secrets into the YAML, instead of references to their environment variables'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from import-env" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check the configuration and every secret it refers to'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the effective values, secrets masked'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "import-env" -d 'Turn a FIRST .env file into YAML on standard output'
complete -c figw -n "__fish_figw_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -l only -d 'Restart only these instances' -r
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -l dry-run -d 'Say what would be done, and do nothing'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -l resume -d 'Go on where the last run stopped: leave out what it had restarted'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand rolling-restart" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand health" -l url -d 'Address of the gateway [default: as server.listen has it]' -r
complete -c figw -n "__fish_figw_using_subcommand health" -l only -d 'Run this check only; repeatable' -r -f -a "gateway\t''
admin\t''
database\t''
replicas\t''
redis\t''
globus_auth\t''
globus_groups\t''
globus_compute\t''
clusters\t''
endpoints\t''
disk\t''
certificate\t''
clock\t''
backup\t''
wal\t''
drill\t''"
complete -c figw -n "__fish_figw_using_subcommand health" -l timeout -d 'How long to do so at most' -r
complete -c figw -n "__fish_figw_using_subcommand health" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand health" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand health" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand health" -l deep -d 'Check what stands behind the gateway, too, from the database to each endpoint'
complete -c figw -n "__fish_figw_using_subcommand health" -l notify -d 'Tell whoever the section alerts names when the state of a check has changed, and remind them while it is not well; made for cron: with --quiet it prints only what they could not be told'
complete -c figw -n "__fish_figw_using_subcommand health" -l wait -d 'Look again and again until the result is OK or WARNING'
complete -c figw -n "__fish_figw_using_subcommand health" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand health" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand health" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand health" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand doctor" -l stage -d 'Only the checks of one stage [default: all]' -r -f -a "pre\t'Before figw goes into production'
post\t'Once it is in production'"
complete -c figw -n "__fish_figw_using_subcommand doctor" -l only -d 'Run this check only, or this group of checks, such as tls.key or tls; repeatable' -r -f -a "access\t''
attested\t''
backup\t''
database\t''
debug\t''
firewall\t''
globus\t''
limits\t''
logs\t''
monitoring\t''
proxies\t''
redis\t''
secrets\t''
service\t''
system\t''
tls\t''
secrets.outside\t''
secrets.permissions\t''
secrets.strength\t''
tls.listener\t''
tls.key\t''
tls.certificate\t''
tls.addresses\t''
database.encryption\t''
firewall.admin\t''
firewall.services\t''
firewall.rules\t''
proxies.trusted\t''
debug.log_level\t''
debug.prompts\t''
debug.retention\t''
debug.database\t''
debug.echo\t''
access.keys\t''
limits.requests\t''
limits.drain\t''
database.schema\t''
database.instances\t''
database.connections\t''
database.pooler\t''
database.performance\t''
database.replicas\t''
backup.age\t''
backup.encrypted\t''
backup.offsite\t''
backup.wal\t''
backup.drill\t''
redis.answers\t''
redis.memory\t''
system.user\t''
system.files\t''
system.state_dir\t''
system.data\t''
system.disk\t''
system.clock\t''
monitoring.metrics\t''
monitoring.ready\t''
monitoring.alerts\t''
logs.collected\t''
logs.errors\t''
globus.openness\t''
globus.credentials\t''
globus.policies\t''
globus.groups\t''
globus.compute\t''
service.gateway\t''
service.clusters\t''
service.endpoints\t''
service.refuses\t''
service.admits\t''
service.answers\t''
attested.load_test\t''
attested.recovery_plan\t''
attested.firewall\t''
attested.on_call\t''"
complete -c figw -n "__fish_figw_using_subcommand doctor" -l url -d 'Address at which clients reach the gateway [default: as server.listen has it]' -r
complete -c figw -n "__fish_figw_using_subcommand doctor" -l key-file -d 'File with an API key or a Globus token, with which a request is sent all the way [default: the variable `FIGW_DOCTOR_KEY`]' -r -F
complete -c figw -n "__fish_figw_using_subcommand doctor" -l attest -d 'Attest this instead of checking anything' -r -f -a "load_test\t''
recovery_plan\t''
firewall\t''
on_call\t''"
complete -c figw -n "__fish_figw_using_subcommand doctor" -l by -d 'Who attests it' -r
complete -c figw -n "__fish_figw_using_subcommand doctor" -l note -d 'What else there is to say: where the plan is, for instance' -r
complete -c figw -n "__fish_figw_using_subcommand doctor" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand doctor" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand doctor" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand doctor" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand doctor" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand doctor" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand usage" -l by -d 'What the report has a line for' -r -f -a "user\t'Each user, the one with the most requests first'
model\t'Each model that was asked for'
cluster\t'Each cluster'
day\t'Each day'"
complete -c figw -n "__fish_figw_using_subcommand usage" -l since -d 'First day, of UTC: a date such as 2026-01-31, or an age such as 7d' -r
complete -c figw -n "__fish_figw_using_subcommand usage" -l until -d 'Last day, of UTC, which counts whole' -r
complete -c figw -n "__fish_figw_using_subcommand usage" -l output -d 'How the report is written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'
csv\t'For `usage` alone: comma-separated values'"
complete -c figw -n "__fish_figw_using_subcommand usage" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand usage" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand usage" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand usage" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand usage" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand usage" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand completions" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand completions" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand completions" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand completions" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand completions" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand completions" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand completions" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand man" -s c -l config -d 'Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]' -r -F
complete -c figw -n "__fish_figw_using_subcommand man" -l output -d 'How results are written to standard output' -r -f -a "text\t'For people'
json\t'One JSON document with stable keys'"
complete -c figw -n "__fish_figw_using_subcommand man" -l color -d 'Colours on standard error' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c figw -n "__fish_figw_using_subcommand man" -s q -l quiet -d 'Say less on standard error'
complete -c figw -n "__fish_figw_using_subcommand man" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c figw -n "__fish_figw_using_subcommand man" -s y -l yes -d 'Answer every confirmation with yes'
complete -c figw -n "__fish_figw_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c figw -n "__fish_figw_using_subcommand man" -s V -l version -d 'Print version'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "serve" -d 'Run the gateway'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "migrate" -d 'Bring the database to this program\'s schema'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "backup" -d 'Make one backup, verify it, and apply retention'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "restore" -d 'Put a backup back'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "wal" -d 'PostgreSQL\'s write-ahead log: archive it, and bring it back'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "cluster" -d 'Clusters: the places that serve models'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "endpoint" -d 'Endpoints: models on clusters'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "federation" -d 'Federations: one model name for several endpoints'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "maintenance" -d 'Take a cluster out of service, and put it back'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "fixtures" -d 'The catalogue as files: FIRST\'s Django JSON or figw\'s own YAML'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "key" -d 'API keys for people and services without another login'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "login" -d 'Log in with Globus, in the browser'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "token" -d 'Print an access token, renewed if need be'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "logout" -d 'Give the login\'s tokens back and remove them'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "generate" -d 'The files that surround a deployment'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "config" -d 'Check, show or convert the configuration'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "rolling-restart" -d 'Restart the fleet one instance at a time, losing no request'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "health" -d 'Say whether the gateway is well, as monitoring plugins do'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "doctor" -d 'Go through the production checklists'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "usage" -d 'Say who used what'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "man" -d 'Write the manual pages to a directory'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from serve migrate backup restore wal cluster endpoint federation maintenance fixtures key login token logout generate config rolling-restart health doctor usage completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "list" -d 'List the backups, oldest first, and whether each is good'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "base" -d 'Copy the whole PostgreSQL server while it runs, for point-in-time recovery'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "verify" -d 'Prove that backups are good: checksums, archives, and the rows of each table'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "prune" -d 'Remove the backups that backup.keep does not keep'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "drill" -d 'Restore the newest backup into a scratch database, by the clock'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from backup" -f -a "sync" -d 'Upload what is missing off-site, and apply retention there'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from wal" -f -a "push" -d 'Archive a file of WAL: PostgreSQL\'s `archive_command`'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from wal" -f -a "fetch" -d 'Bring back an archived file of WAL: PostgreSQL\'s `restore_command`'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "add" -d 'Add a cluster'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "list" -d 'List every cluster'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "show" -d 'Show one cluster in full'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "remove" -d 'Remove a cluster that no endpoint uses'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "add" -d 'Add an endpoint; on a terminal, asks for what no flag gives'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "list" -d 'List every endpoint'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "show" -d 'Show one endpoint in full'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "set" -d 'Change what is given and leave the rest; an empty value clears a list or a setting'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "remove" -d 'Remove an endpoint that no federation uses'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from endpoint" -f -a "test" -d 'Send one real request to an endpoint\'s back end'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from federation" -f -a "add" -d 'Add a federation'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from federation" -f -a "list" -d 'List every federation'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from federation" -f -a "show" -d 'Show one federation in full'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from federation" -f -a "set" -d 'Change what is given and leave the rest'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from federation" -f -a "remove" -d 'Remove a federation; its endpoints stay'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from maintenance" -f -a "on" -d 'Take a cluster out of service'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from maintenance" -f -a "off" -d 'Put a cluster back into service'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from maintenance" -f -a "status" -d 'Show which clusters are out of service'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from fixtures" -f -a "load" -d 'Load files as one set: all of it or nothing'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from fixtures" -f -a "dump" -d 'Write the whole catalogue to standard output as YAML, or as JSON with `--output json`'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from fixtures" -f -a "check" -d 'Check files without a database'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "create" -d 'Make a key and show it, this once'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "list" -d 'List every key, without its text'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "revoke" -d 'Refuse a key from now on; running gateways follow within 5 seconds'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "nginx" -d 'nginx in front of all instances, with TLS'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "systemd" -d 'figw as a service of systemd: figw.service and its sockets'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "pgbouncer" -d 'PgBouncer between the instances and PostgreSQL'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "cron" -d 'The jobs that make backups and prove them, for cron'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "logrotate" -d 'logrotate for logging.file, where logrotate keeps all logs of a machine'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "compose" -d 'Everything on one host: figw, PostgreSQL, Redis and nginx, for Docker Compose'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "kubernetes" -d 'Everything for Kubernetes, as one file for `kubectl apply`'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "firewall" -d 'Who may reach which port: users the public one, the admin listener the instances alone'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "prometheus" -d 'What Prometheus scrapes of all instances, and what it alerts of'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "grafana" -d 'The dashboard for Grafana, with a Prometheus as its data source'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "globus-endpoint" -d 'The config.yaml of a Globus Compute endpoint that serves models'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Check the configuration and every secret it refers to'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the effective values, secrets masked'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "import-env" -d 'Turn a FIRST .env file into YAML on standard output'
