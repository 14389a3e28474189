// Package machines keeps a tenant's services: programs that call the app as
// principals of their own, and what each of them is recognised by.
//
// It exists so that a program can show what somebody else has issued to it, a
// token of an authorization server or a client certificate, and so that who may do
// so is the tenant's to say and to take back at once. It must not verify what is
// shown, and must not decide what a service may do.
package machines
