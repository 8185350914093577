/* amd64, what goes before probe.s */
        .intel_syntax noprefix
        .set    BITS, 64
        .set    MACHINE, 62
        .set    FLAGS, 0
        .set    SOCKET, 41
        .set    BIND, 49
        .set    LISTEN, 50
        .set    ACCEPT4, 288
        .set    WRITE, 1
        .set    CLOSE, 3
        .set    EXIT, 60
        .set    listener, ebx
        .set    client, r12d
        .macro  system number, a=0, b=0, c=0
        mov     edi, \a
        mov     esi, \b
        mov     edx, \c
        xor     r10d, r10d
        mov     eax, \number
        syscall
        .endm
        .macro  system_at number, a, label, c
        mov     edi, \a
        lea     rsi, [rip + \label]
        mov     edx, \c
        mov     eax, \number
        syscall
        .endm
        .macro  keep register
        mov     \register, eax
        .endm
        .macro  or_fail
        test    eax, eax
        js      fail
        .endm
        .macro  again label
        jmp     \label
        .endm
