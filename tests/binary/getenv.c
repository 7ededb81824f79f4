/* Loaded before the C library: tells on standard error which variables of the environment a program asks for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static char *tell(const char *function, const char *name)
{
	char *(*ask)(const char *) = dlsym(RTLD_NEXT, function);

	dprintf(2, "getenv: %s\n", name);
	return ask(name);
}

char *getenv(const char *name)
{
	return tell("getenv", name);
}

char *secure_getenv(const char *name)
{
	return tell("secure_getenv", name);
}
