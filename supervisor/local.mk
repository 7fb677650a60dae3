# fubard: the process table, privileges, the admin socket. No NNG, OpenSSL or Berkeley DB: what it does not link it
# cannot misuse.
noinst_LIBRARIES += libfbsupervisor.a
libfbsupervisor_a_SOURCES = \
	supervisor/admin.c supervisor/admin.h \
	supervisor/admin_do.c \
	supervisor/admin_fan.c \
	supervisor/budget.c supervisor/budget.h \
	supervisor/certs.c supervisor/certs.h \
	supervisor/death.c supervisor/death.h \
	supervisor/doctor.c supervisor/doctor.h \
	supervisor/listeners.c supervisor/listeners.h \
	supervisor/logfile.c supervisor/logfile.h \
	supervisor/logs.c supervisor/logs.h \
	supervisor/memory.c supervisor/memory.h \
	supervisor/notify.c supervisor/notify.h \
	supervisor/options.c supervisor/options.h \
	supervisor/paths.c supervisor/paths.h \
	supervisor/proctab.c supervisor/proctab.h \
	supervisor/reload.c supervisor/reload.h \
	supervisor/restart.c supervisor/restart.h \
	supervisor/restore.c supervisor/restore.h \
	supervisor/service.c supervisor/service.h \
	supervisor/spawn.c supervisor/spawn.h \
	supervisor/statlog.c supervisor/statlog.h \
	supervisor/stats.c supervisor/stats.h \
	supervisor/sysmon.c supervisor/sysmon.h \
	supervisor/systree.c supervisor/systree.def supervisor/systree.h \
	supervisor/trace.c supervisor/trace.h \
	supervisor/watch.c supervisor/watch.h

sbin_PROGRAMS += fubard
fubard_SOURCES = supervisor/main.c
fubard_LDADD = libfbsupervisor.a libfbadmin.a libfbconfig.a libfbmqtt.a libfbipc.a libfbmetrics.a libfbloop.a libfbbase.a \
	$(EVENT_LIBS) $(YAML_LIBS) -lm

# fubar-admin: words out, rows back. libjansson is its alone.
bin_PROGRAMS += fubar-admin
fubar_admin_SOURCES = \
	supervisor/fubar_admin.c supervisor/fubar_admin.h \
	supervisor/fubar_admin_complete.c \
	supervisor/fubar_admin_conn.c \
	supervisor/fubar_admin_export.c \
	supervisor/fubar_admin_import.c \
	supervisor/fubar_admin_json.c \
	supervisor/fubar_admin_lines.c \
	supervisor/fubar_admin_progress.c \
	supervisor/fubar_admin_secret.c \
	supervisor/fubar_admin_show.c \
	supervisor/fubar_admin_state.c
fubar_admin_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
fubar_admin_LDADD = libfbadmin.a libfbipc.a libfbconfig.a libfbmqtt.a libfbbase.a $(JANSSON_LIBS)
