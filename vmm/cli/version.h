/* The product's version, in one place. */
#ifndef VMM_CLI_VERSION_H
#define VMM_CLI_VERSION_H

#define VMM_VERSION "0.1.0"

#endif
