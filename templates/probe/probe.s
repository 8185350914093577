/* The program of the throw-away image that proves a Docker daemon: it answers every connection on
 * port 8080 with one line, and exits with 1 where it cannot. Linux, no libc, a few hundred bytes.
 *
 * What it does stands here, once. The file of each architecture goes before this one and says how
 * its kernel is told that: the ELF header's BITS, MACHINE and FLAGS, the numbers of the calls, the
 * registers `listener` and `client` that outlive a call, and the words
 *
 *   system CALL [A [, B [, C]]]    a system call; an argument that is left out is 0
 *   system_at CALL, A, LABEL, C    the same, B the address of LABEL
 *   keep REGISTER                  what the last call returned
 *   or_fail                        goes to `fail` where that is an error
 *   again LABEL                    goes there
 *
 * `make probes` assembles all of them. */
        .text
        .globl  _start
        .set    BASE, 0x400000
        .macro  native values:vararg            /* in the width of an address */
        .if     BITS == 64
        .8byte  \values
        .else
        .4byte  \values
        .endif
        .endm
elf:    .ascii  "\177ELF"
        .byte   BITS / 32, 1, 1, 0              /* little-endian, version 1, System V */
        .8byte  0
        .2byte  2, MACHINE                      /* ET_EXEC */
        .4byte  1
        native  BASE + (_start - elf), segment - elf, 0
        .4byte  FLAGS
        .2byte  segment - elf, _start - segment, 1, 0, 0, 0
segment:
        .4byte  1                               /* PT_LOAD, read and execute */
        .if     BITS == 64
        .4byte  5
        .endif
        native  0, BASE, BASE, end - elf, end - elf
        .if     BITS == 32
        .4byte  5
        .endif
        native  0x10000
_start:
        system  SOCKET, 2, 1                    /* AF_INET, SOCK_STREAM */
        or_fail
        keep    listener
        system_at BIND, listener, address, 16
        or_fail
        system  LISTEN, listener, 8
        or_fail
next:   system  ACCEPT4, listener
        or_fail
        keep    client
        system_at WRITE, client, line, end-line
        system  CLOSE, client
        again   next
fail:   system  EXIT, 1
address:
        .2byte  2                               /* AF_INET, port 8080 of every address */
        .byte   0x1f, 0x90
        .4byte  0
        .8byte  0
line:   .ascii  "phoenix-harden\n"
end:
