# Samples; what is in $(sysconfdir) is the administrator's.
exampledir = $(docdir)/examples
dist_example_DATA = etc/fubar.yaml
