/* armhf, what goes before probe.s */
        .syntax unified
        .arch   armv7-a
        .arm
        .set    BITS, 32
        .set    MACHINE, 40
        .set    FLAGS, 0x5000000                /* EABI 5 */
        .set    SOCKET, 281
        .set    BIND, 282
        .set    LISTEN, 284
        .set    ACCEPT4, 366
        .set    WRITE, 4
        .set    CLOSE, 6
        .set    EXIT, 1
listener .req   r4
client  .req    r5
        .macro  system number, a=0, b=0, c=0
        mov     r0, \a
        mov     r1, \b
        mov     r2, \c
        mov     r3, 0
        movw    r7, \number
        svc     0
        .endm
        .macro  system_at number, a, label, c
        mov     r0, \a
        adr     r1, \label
        mov     r2, \c
        movw    r7, \number
        svc     0
        .endm
        .macro  keep register
        mov     \register, r0
        .endm
        .macro  or_fail
        cmp     r0, 0
        blt     fail
        .endm
        .macro  again label
        b       \label
        .endm
