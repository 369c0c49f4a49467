// Package chef is a client of the Chef Infra Server's REST API, made for
// replication: it signs requests, negotiates versions, tries again where that
// can help, moves objects as raw JSON and cookbook files as streams, and says
// what went wrong in words that an operator can act on.
//
// Two rules hold everywhere. An answer counts only when the Chef Server itself
// gave it, which the response header X-Ops-Server-API-Version shows
// (docs/chef-server-api.md §1.5, §13): a proxy's page is never read as "empty" or
// "absent". And no error or log line carries key material, a presigned URL's
// query or the body of an object.
package chef
