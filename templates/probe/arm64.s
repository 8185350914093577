/* arm64, what goes before probe.s */
        .set    BITS, 64
        .set    MACHINE, 183
        .set    FLAGS, 0
        .set    SOCKET, 198
        .set    BIND, 200
        .set    LISTEN, 201
        .set    ACCEPT4, 242
        .set    WRITE, 64
        .set    CLOSE, 57
        .set    EXIT, 93
listener .req   w19
client  .req    w20
        .macro  system number, a=0, b=0, c=0
        mov     w0, \a
        mov     w1, \b
        mov     w2, \c
        mov     w3, 0
        mov     w8, \number
        svc     0
        .endm
        .macro  system_at number, a, label, c
        mov     w0, \a
        adr     x1, \label
        mov     w2, \c
        mov     w8, \number
        svc     0
        .endm
        .macro  keep register
        mov     \register, w0
        .endm
        .macro  or_fail
        tbnz    w0, 31, fail
        .endm
        .macro  again label
        b       \label
        .endm
