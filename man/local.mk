dist_man_MANS += man/fubar-admin.8 man/fubar.yaml.5
