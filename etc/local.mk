# Samples; what is in $(sysconfdir) is the administrator's.
exampledir = $(docdir)/examples
dist_example_DATA = etc/fubar.yaml

# The unit names the installed program.
nodist_example_DATA = etc/fubar.service
EXTRA_DIST += etc/fubar.service.in
CLEANFILES += etc/fubar.service
etc/fubar.service: $(srcdir)/etc/fubar.service.in Makefile
	@$(MKDIR_P) etc
	$(AM_V_GEN)sed 's|SBINDIR|$(sbindir)|g' $(srcdir)/etc/fubar.service.in >$@
