# Samples; what is in $(configdir) is the administrator's.
exampledir = $(docdir)/examples
dist_example_DATA = etc/fubar.yaml

# For systemd: the unit names the installed programs.
nodist_systemdsystemunit_DATA = etc/fubard.service
dist_sysusers_DATA = etc/sysusers.d/fubar.conf
dist_tmpfiles_DATA = etc/tmpfiles.d/fubar.conf
EXTRA_DIST += etc/fubard.service.in
CLEANFILES += etc/fubard.service
configdir = $(sysconfdir)/fubar
etc/fubard.service: $(srcdir)/etc/fubard.service.in Makefile
	@$(MKDIR_P) etc
	$(AM_V_GEN)sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' -e 's|@configdir[@]|$(configdir)|g' \
		$(srcdir)/etc/fubard.service.in >$@

# The configuration that the unit names: never over one that is there; taken away only as it was put there.
install-data-local:
	@$(MKDIR_P) "$(DESTDIR)$(configdir)"
	@test -e "$(DESTDIR)$(configdir)/fubar.yaml" || $(INSTALL_DATA) $(srcdir)/etc/fubar.yaml "$(DESTDIR)$(configdir)/fubar.yaml"
uninstall-local:
	@if cmp -s $(srcdir)/etc/fubar.yaml "$(DESTDIR)$(configdir)/fubar.yaml"; then \
		rm -f "$(DESTDIR)$(configdir)/fubar.yaml" && rmdir "$(DESTDIR)$(configdir)" 2>/dev/null || :; fi
