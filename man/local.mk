dist_man_MANS += man/fubar-client.1 man/fubard.8 man/fubar-admin.8 man/fubar.yaml.5 man/fubar-guarantees.7 man/fubar-internals.7
