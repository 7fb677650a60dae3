# fubar-admin: words out, rows back. libjansson is its alone.
bin_PROGRAMS += fubar-admin
fubar_admin_SOURCES = \
	supervisor/fubar_admin.c supervisor/fubar_admin.h \
	supervisor/fubar_admin_complete.c \
	supervisor/fubar_admin_conn.c \
	supervisor/fubar_admin_json.c \
	supervisor/fubar_admin_secret.c \
	supervisor/fubar_admin_show.c
fubar_admin_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
fubar_admin_LDADD = libfbadmin.a libfbipc.a libfbconfig.a libfbbase.a $(JANSSON_LIBS)
