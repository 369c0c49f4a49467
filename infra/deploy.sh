#!/usr/bin/env bash
# Deploys Chef Replication to AWS with the AWS CLI alone: docs/aws.md.
set -euo pipefail

usage() {
	cat <<'END'
Usage: deploy.sh [OPTION]... [PARAMETER=VALUE]...

Deploys the template and the functions beside this script, with the
configuration chef-sync.toml, as a CloudFormation stack. Run it again to deploy
another configuration, parameters or version. Parameters keep their values.

  --config FILE       the configuration (chef-sync.toml)
  --stack NAME        the stack (chef-sync)
  --bucket NAME       the bucket for the functions and the configuration; made
                      if there is none (chef-sync-artifacts-ACCOUNT-REGION)
  --region REGION     by default that of the AWS CLI
  --profile NAME      a profile of the AWS CLI
  --endpoint-url URL  an emulator instead of AWS
  --tag NAME=VALUE    a tag of the stack and its resources; once for each
  --preview           show what would change in the stack, and change nothing
                      but the bucket
  --help
END
}

fail() {
	printf 'deploy.sh: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf 'Try: %s\n' "$@" >&2
	exit 1
}

say() { printf '== %s\n' "$*"; }

config=chef-sync.toml stack=chef-sync bucket='' region='' preview=''
global=(--output text) overrides=() tags=()

while [ $# -gt 0 ]; do
	case $1 in
	--config | --stack | --bucket | --region | --profile | --endpoint-url | --tag)
		[ $# -gt 1 ] || fail "$1 needs a value" 'deploy.sh --help'
		case $1 in
		--config) config=$2 ;;
		--stack) stack=$2 ;;
		--bucket) bucket=$2 ;;
		--region) region=$2 ;;
		--tag) tags+=("$2") ;;
		*) global+=("$1" "$2") ;;
		esac
		shift
		;;
	--preview) preview=1 ;;
	--help | -h) usage; exit ;;
	-*) fail "unknown option $1" 'deploy.sh --help' ;;
	*=*) overrides+=("$1") ;;
	*) fail "$1 is neither an option nor PARAMETER=VALUE" 'deploy.sh --help' ;;
	esac
	shift
done

here=$(cd "$(dirname "$0")" && pwd)
template=$here/chef-sync.template.json

# cli runs the AWS CLI.
cli() { aws "${global[@]}" "$@"; }

# sum prints the SHA-256 of a file.
sum() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

check_files() {
	command -v aws >/dev/null || fail 'the AWS CLI is missing' 'https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html'
	[ -f "$template" ] || fail "$template is missing" 'run deploy.sh in the folder that the release was unpacked to' 'in a clone: make template, then bin/release/aws/deploy.sh'
	zips=$(grep -o 'functions/[a-z]*-[0-9a-f]*\.zip' "$template" | sort -u)
	for key in $zips; do
		[ -f "$here/${key##*/}" ] || fail "$here/${key##*/} is missing, which the template names" 'unpack the release again'
	done
}

sign_in() {
	region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(cli configure get region || true)}}}
	[ -n "$region" ] || fail 'no region is set' 'deploy.sh --region REGION'
	export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER=''
	account=$(cli sts get-caller-identity --query Account) || fail 'the AWS CLI is not signed in' 'aws configure, or aws sso login'
}

# parameter_names prints the parameters that can be given. The template is one line,
# written by make template.
parameter_names() {
	sed 's/.*"Parameters":{//; s/"Resources":{.*//' "$template" | grep -oE '"[A-Z][A-Za-z]*":\{' | tr -d '":{' | grep -vxE 'ArtifactBucket|ConfigurationKey'
}

# check_parameters refuses unknown parameters, which the AWS CLI ignores.
check_parameters() {
	local o
	for o in ${overrides[@]+"${overrides[@]}"}; do
		parameter_names | grep -qx "${o%%=*}" || fail "the template has no parameter ${o%%=*}" "one of: $(parameter_names | tr '\n' ' ')"
	done
}

make_bucket() {
	bucket=${bucket:-chef-sync-artifacts-$account-$region}
	cli s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null 2>&1 && return
	say "Making the bucket $bucket"
	local where=()
	[ "$region" = us-east-1 ] || where=(--create-bucket-configuration "LocationConstraint=$region")
	cli s3api create-bucket --bucket "$bucket" ${where[@]+"${where[@]}"} >/dev/null ||
		fail "the bucket $bucket can't be made or used" 'deploy.sh --bucket with the name of a bucket of yours'
	cli s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
		BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
	case " ${global[*]} " in *' http://'*) return ;; esac # an emulator has no TLS
	cli s3api put-bucket-policy --bucket "$bucket" --policy '{"Version": "2012-10-17", "Statement": [{
		"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}},
		"Resource": ["arn:'"$(partition)"':s3:::'"$bucket"'", "arn:'"$(partition)"':s3:::'"$bucket"'/*"]}]}'
}

partition() {
	case $region in
	cn-*) echo aws-cn ;;
	us-gov-*) echo aws-us-gov ;;
	*) echo aws ;;
	esac
}

# upload FILE KEY uploads a file unless it is there: its key says what is in it.
upload() {
	if ! cli s3api head-object --bucket "$bucket" --key "$2" >/dev/null 2>&1; then
		cli s3 cp --only-show-errors "$1" "s3://$bucket/$2" || fail "$1 can't be uploaded to $bucket"
		echo "uploaded $2"
	fi
}

upload_all() {
	say "Uploading to $bucket"
	for key in $zips; do
		upload "$here/${key##*/}" "$key"
	done
	key=config/$(sum "$config").toml
	upload "$config" "$key"
}

# check_secrets looks whether the secrets that the configuration names are there. Without
# one the pairs that need it are blocked, and go on when it is there.
check_secrets() {
	local reference name put out look
	say "Secrets that $config names"
	{ sed 's/^[[:space:]]*#.*//' "$config" | grep -oE "[\"'](secretsmanager|ssm):[^\"']+" || true; } | cut -c 2- | sort -u | while read -r reference; do
		name=${reference#*:}
		case $reference in
		ssm:*)
			look=(ssm get-parameter --name "$name" --query Parameter.Name)
			put="aws ssm put-parameter --type SecureString --name $name --value file://FILE"
			;;
		*)
			look=(secretsmanager describe-secret --secret-id "$name" --query Name)
			put="aws secretsmanager create-secret --name $name --secret-string file://FILE"
			;;
		esac
		if out=$(cli "${look[@]}" 2>&1); then
			printf '  there    %s\n' "$reference"
		elif [[ $out == *NotFound* ]]; then
			printf '  missing  %s\n           put it: %s\n' "$reference" "$put"
		else
			printf '  unknown  %s: %s\n' "$reference" "${out//$'\n'/ }"
		fi
	done
}

status() { cli cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' 2>/dev/null || true; }

# remove_failed removes a stack whose first deployment failed: CloudFormation can't update it.
remove_failed() {
	[ "$(status)" = ROLLBACK_COMPLETE ] || return 0
	say "Removing the stack $stack, whose first deployment failed"
	cli cloudformation delete-stack --stack-name "$stack"
	cli cloudformation wait stack-delete-complete --stack-name "$stack"
}

# deploy [OPTION]... deploys the stack.
deploy() {
	local more=()
	[ ${#tags[@]} -eq 0 ] || more=(--tags "${tags[@]}")
	cli cloudformation deploy --stack-name "$stack" --template-file "$template" --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset "$@" \
		${more[@]+"${more[@]}"} --parameter-overrides "ArtifactBucket=$bucket" "ConfigurationKey=$key" ${overrides[@]+"${overrides[@]}"}
}

preview_changes() {
	local out change
	say "What would change in the stack $stack"
	out=$(deploy --no-execute-changeset) || fail 'the changes are not known'
	change=$(grep -o 'arn:[^ ]*:changeSet/[^ ]*' <<<"$out" | head -n 1 || true)
	if [ -z "$change" ]; then
		echo "$out"
		return
	fi
	cli cloudformation describe-change-set --change-set-name "$change" --query 'Changes[].ResourceChange.[Action, ResourceType, LogicalResourceId, Replacement]'
	if [ "$(status)" = REVIEW_IN_PROGRESS ]; then
		cli cloudformation delete-stack --stack-name "$stack" # it has nothing but the change set
	else
		cli cloudformation delete-change-set --change-set-name "$change"
	fi
}

# failures prints what failed in the deployment, the cause first. CloudFormation lists the
# newest event first, and a reason may have several lines.
failures() {
	cli cloudformation describe-stack-events --stack-name "$stack" --max-items 500 \
		--query 'StackEvents[].[Timestamp, LogicalResourceId, ResourceStatus, ResourceStatusReason]' |
		awk -F '\t' -v OFS='\t' '
			$4 == "User Initiated" { begun = 1 }
			begun || $0 == "None" { next }
			NF < 4 { if (failed) text[n] = text[n] "\n" $0; next }
			{ failed = $3 ~ /FAILED/ }
			failed { text[++n] = $1 OFS $2 OFS $4 }
			END { for (i = n; i > 0 && i > n - 10; i--) print text[i] }'
}

explain_failure() {
	echo >&2
	failures >&2 || true
	fail "the stack $stack was not deployed; CloudFormation goes back to what was before" \
		'the first reason above' "aws cloudformation describe-stack-events --stack-name $stack" 'docs/aws.md#when-a-deployment-fails'
}

say_next() {
	say "Deployed: $stack in $region, account $account"
	cli cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]'
	say 'Next'
	cat <<END
1. Put the secrets that are missing above. Pairs wait for them.
2. See that it works: chef-sync-ctl doctor --stack $stack --region $region
3. See what it does: chef-sync-ctl sync-status --stack $stack --region $region
4. AlarmEmail=ADDRESS mails alarms; the address must confirm.
END
}

check_files
check_parameters
[ -s "$config" ] || fail "the configuration $config is missing or empty" 'deploy.sh --config FILE' 'make one: chef-sync-ctl init'
sign_in
make_bucket
upload_all
check_secrets
if [ -n "$preview" ]; then
	preview_changes
	exit
fi
remove_failed
say "Deploying the stack $stack"
deploy || explain_failure
say_next
