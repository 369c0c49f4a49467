// Package s3stage holds the content of cookbook files in an S3 bucket, so that
// each file is read from the primary once for all replicas ([Stage]), and the
// large parts of the state ([Blobs]).
//
// The two need different prefixes: staged content may expire, by a lifecycle rule of
// the bucket, and is staged again when it is needed; a blob of the state must be kept
// until it is deleted.
package s3stage
