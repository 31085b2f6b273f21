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
complete -c figw -n "__fish_figw_needs_command" -f -a "config" -d 'Check, show or convert the configuration'
complete -c figw -n "__fish_figw_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c figw -n "__fish_figw_needs_command" -f -a "man" -d 'Write the manual pages to a directory'
complete -c figw -n "__fish_figw_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
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
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from config completions man help" -f -a "config" -d 'Check, show or convert the configuration'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from config completions man help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from config completions man help" -f -a "man" -d 'Write the manual pages to a directory'
complete -c figw -n "__fish_figw_using_subcommand help; and not __fish_seen_subcommand_from config completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Check the configuration and every secret it refers to'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the effective values, secrets masked'
complete -c figw -n "__fish_figw_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "import-env" -d 'Turn a FIRST .env file into YAML on standard output'
