/* i386, what goes before probe.s */
        .intel_syntax noprefix
        .set    BITS, 32
        .set    MACHINE, 3
        .set    FLAGS, 0
        .set    SOCKET, 359
        .set    BIND, 361
        .set    LISTEN, 363
        .set    ACCEPT4, 364
        .set    WRITE, 4
        .set    CLOSE, 6
        .set    EXIT, 1
        .set    listener, edi
        .set    client, ebp
        .macro  system number, a=0, b=0, c=0
        mov     ebx, \a
        mov     ecx, \b
        mov     edx, \c
        xor     esi, esi
        mov     eax, \number
        int     0x80
        .endm
        .macro  system_at number, a, label, c
        mov     ebx, \a
        mov     ecx, BASE + (\label - elf)
        mov     edx, \c
        mov     eax, \number
        int     0x80
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
