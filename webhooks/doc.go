// Package webhooks sends the changes of a directory to the receivers that tenants name,
// as the Standard Webhooks convention has it.
//
// It exists so that other systems learn of people and groups without asking. One node at
// a time sends to a webhook, one message after the other: how far it has come is kept in
// SQL and moves on only once the receiver has taken a message, so that nothing is lost
// whatever dies, and what was taken may come again.
//
// It must not let a receiver hold anything up: not the change itself, and by a tenant's own
// few places, with others for slow webhooks, not another tenant. It keeps no record and decides nothing about webhooks
// (directory/feed does), and it reaches addresses by the guarded client alone.
package webhooks
