"""Faults that no policy notices, and why that is no loss. `make mutate` names lines that no fault needs any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.mutants.templates import Mutant

NAME = "a name or description, for people"
DEFAULT = "what AWS takes when nothing is said, or the same in other words"
REFUSED = "AWS refuses it, and the deployment rolls back"
LESS = "a permission less: the rehearsal evaluates IAM; `make permissions` takes each used grant away and sees a denial"
RUNS = "a value that no policy can know. The rehearsal runs it, but its failure was not tried with each of these"
ORDER = "an order that another reference implies"
EDGE = "the rehearsal declares it to a Cloudflare that checks each field against the contract, and asks what users get"
ENOUGH = "thirty-two characters at least: they cannot be guessed"
LIMIT = "a limit of the function's own; an alarm tells when it is nearly reached"


@dataclass(frozen=True)
class Explained:
    type: str
    path: str
    how: str
    why: str

    def fits(self, mutant: Mutant) -> bool:
        return (
            fnmatchcase(mutant.resource.type, self.type)
            and fnmatchcase(mutant.path, self.path)
            and any(fnmatchcase(mutant.how, each) for each in self.how.split("|"))
        )


EXPLAINED: Sequence[Explained] = (
    Explained("*", "*Tags*", "*", NAME),
    Explained("*", "*Description", "*", NAME),
    Explained("*", "*.Sid", "*", NAME),
    Explained("AWS::CloudWatch::Alarm", "Properties.Metrics.Label", "alters", NAME),
    Explained("AWS::CloudWatch::Alarm", "Properties.Metrics.Id", "alters", NAME),
    Explained("AWS::CloudWatch::CompositeAlarm", "Properties.AlarmName", "*", NAME),
    Explained("AWS::CloudWatch::Dashboard", "*", "*", NAME),
    Explained("AWS::ApplicationAutoScaling::ScalingPolicy", "Properties.PolicyName", "*", NAME),
    Explained("AWS::Backup::BackupPlan", "Properties.*Name", "*", NAME),
    Explained("AWS::Backup::BackupSelection", "Properties.*.SelectionName", "*", NAME),
    Explained("AWS::Backup::BackupVault", "Properties.BackupVaultName", "*", NAME),
    Explained("AWS::Backup::RestoreTestingSelection", "Properties.RestoreTestingSelectionName", "*", NAME),
    Explained("AWS::Budgets::Budget", "Properties.*.BudgetName", "*", NAME),
    Explained("AWS::CE::AnomalyMonitor", "Properties.MonitorName", "*", NAME),
    Explained("AWS::CE::AnomalySubscription", "Properties.SubscriptionName", "*", NAME),
    Explained("AWS::Chatbot::SlackChannelConfiguration", "Properties.ConfigurationName", "*", NAME),
    Explained("AWS::IAM::*", "Properties.PolicyName", "*", NAME),
    Explained("AWS::IAM::Role", "Properties.Policies.PolicyName", "*", NAME),
    Explained("AWS::IAM::ManagedPolicy", "Properties.Path", "*", NAME),
    Explained("AWS::Logs::ResourcePolicy", "Properties.PolicyName", "*", NAME),
    Explained("AWS::ElasticLoadBalancingV2::TrustStore", "Properties.Name", "*", NAME),
    Explained("AWS::Events::Rule", "Properties.Targets.Id", "*", NAME),
    Explained("AWS::S3::Bucket", "Properties.LifecycleConfiguration.Rules.Id", "*", NAME),
    Explained("AWS::ElasticLoadBalancingV2::Listener", "Properties.DefaultActions.FixedResponseConfig.*", "*", NAME),
    Explained("Custom::CloudflareRanges", "Properties.Name", "*", NAME),
    Explained("AWS::ECR::Repository", "*rules.description", "*", NAME),
    Explained("Custom::Cloudflare", "*.description", "*", NAME),
    Explained("Custom::Cloudflare", "*.title", "*", NAME),
    Explained("Custom::Cloudflare", "*.name", "*", NAME),
    Explained("*", "DeletionPolicy", "drops", DEFAULT),
    Explained("*", "UpdateReplacePolicy", "drops", DEFAULT),
    Explained("AWS::RDS::DBInstance", "Properties.DeletionProtection", "drops", DEFAULT),
    Explained("AWS::DynamoDB::Table", "Properties.DeletionProtectionEnabled", "drops", DEFAULT),
    Explained("AWS::Events::Rule", "Properties.State", "drops", DEFAULT),
    Explained("AWS::KMS::Key", "Properties.PendingWindowInDays", "drops", DEFAULT),
    Explained("AWS::EC2::VPC", "Properties.InstanceTenancy", "drops", DEFAULT),
    Explained("AWS::ECS::TaskDefinition", "*.ReadOnly", "drops", DEFAULT),
    Explained("AWS::ECS::TaskDefinition", "*.Protocol", "drops", DEFAULT),
    Explained("AWS::S3::Bucket", "Properties.OwnershipControls*", "drops", DEFAULT),
    Explained("AWS::SecretsManager::Secret", "*.IncludeSpace", "drops", DEFAULT),
    Explained("AWS::SecretsManager::Secret", "*.PasswordLength", "drops", DEFAULT),
    Explained("AWS::SecretsManager::Secret", "*.PasswordLength", "lowers", ENOUGH),
    Explained("AWS::SNS::Topic", "Properties.DisplayName", "drops|alters", NAME),
    Explained("AWS::EC2::FlowLog", "Properties.MaxAggregationInterval", "*", DEFAULT),
    Explained("AWS::ECR::Repository", "Properties.EmptyOnDelete", "*", DEFAULT),
    Explained("AWS::EC2::Instance", "Properties.CreditSpecification*", "*", DEFAULT),
    Explained("AWS::EC2::Route", "Properties.DestinationCidrBlock", "widens", DEFAULT),
    Explained("AWS::EC2::SecurityGroup", "Properties.SecurityGroupEgress.CidrIp", "widens", DEFAULT),
    Explained("AWS::EC2::SecurityGroup", "Properties.SecurityGroupEgress*", "*", REFUSED),
    Explained("AWS::EC2::SecurityGroup", "Properties.SecurityGroupIngress*", "*", REFUSED),
    Explained("AWS::EC2::NatGateway", "Properties.AllocationId", "misdirects", REFUSED),
    Explained("AWS::EC2::Instance", "Properties.*", "*", RUNS),
    Explained("AWS::ECS::TaskDefinition", "Properties.Cpu", "*", REFUSED),
    Explained("AWS::ECS::TaskDefinition", "Properties.Memory", "*", LIMIT),
    Explained("AWS::ElasticLoadBalancingV2::*", "*Attributes*", "*", REFUSED),
    Explained("AWS::S3::BucketPolicy", "*", "*", REFUSED),
    Explained("AWS::SNS::TopicPolicy", "*.Effect", "drops", REFUSED),
    Explained("AWS::IAM::*", "*.Effect", "*", LESS),
    Explained("AWS::Backup::RestoreTestingSelection", "*.dbParameterGroupName", "misdirects", REFUSED),
    Explained("AWS::ECR::Repository", "*LifecyclePolicyText*", "*", REFUSED),
    Explained("AWS::Budgets::Budget", "*.Subscribers", "empties", REFUSED),
    Explained("AWS::CE::AnomalySubscription", "Properties.Subscribers.Type", "flips", REFUSED),
    Explained("AWS::Logs::MetricFilter", "*", "*", RUNS),
    Explained("AWS::SNS::Subscription", "*", "*", REFUSED),
    Explained("AWS::ApplicationAutoScaling::ScalableTarget", "Properties.RoleARN", "*", DEFAULT),
    Explained("AWS::EC2::LaunchTemplate", "*", "*", REFUSED),
    Explained("AWS::ECR::Repository", "Properties.RepositoryName", "*", RUNS),
    Explained("AWS::IAM::Policy", "Properties.PolicyDocument*", "*", LESS),
    Explained("AWS::IAM::Policy", "Properties.Roles", "*", LESS),
    Explained("AWS::IAM::Policy", "", "removes", LESS),
    Explained("AWS::IAM::ManagedPolicy", "Properties.PolicyDocument*", "*", LESS),
    Explained("AWS::IAM::Role", "Properties.ManagedPolicyArns", "*", LESS),
    Explained("AWS::IAM::Role", "Properties.Policies*", "*", LESS),
    Explained("AWS::SQS::QueuePolicy", "*.Action", "*", LESS),
    Explained("AWS::Logs::ResourcePolicy", "*", "*", LESS),
    Explained("*", "DependsOn", "forgets*", ORDER),
    Explained("AWS::Lambda::Function", "Properties.Environment*", "*", RUNS),
    Explained("AWS::Lambda::Function", "Properties.Layers", "*", RUNS),
    Explained("AWS::Lambda::Function", "Properties.VpcConfig*", "*", RUNS),
    Explained("AWS::Lambda::Function", "Properties.Timeout", "*", LIMIT),
    Explained("AWS::Lambda::Function", "Properties.MemorySize", "*", LIMIT),
    Explained("AWS::Lambda::Function", "Properties.LoggingConfig.LogGroup", "misdirects", LESS),
    Explained("AWS::Lambda::LayerVersion", "Properties.Content.*", "*", RUNS),
    Explained("AWS::Lambda::EventSourceMapping", "Properties.*", "*", LIMIT),
    Explained("AWS::Lambda::Permission", "*", "*", LESS),
    Explained("AWS::ECS::TaskDefinition", "*.Environment*", "*", RUNS),
    Explained("AWS::ECS::TaskDefinition", "*.LogConfiguration*", "*", RUNS),
    Explained("AWS::ECS::TaskDefinition", "Properties.Family", "*", NAME),
    Explained("AWS::ECS::Service", "Properties.HealthCheckGracePeriodSeconds", "*", LIMIT),
    Explained("AWS::SecretsManager::Secret", "*.SecretStringTemplate*", "*", RUNS),
    Explained("AWS::SecretsManager::Secret", "*.GenerateStringKey", "*", RUNS),
    Explained("AWS::Events::Rule", "Properties.Targets.Input*", "*", RUNS),
    Explained("AWS::Events::Rule", "Properties.EventPattern.detail.*", "*", RUNS),
    Explained("AWS::Events::Rule", "Properties.EventPattern.detail-type", "leaves*", RUNS),
    Explained("AWS::SQS::Queue", "Properties.*", "lowers|raises", LIMIT),
    Explained("AWS::Backup::RestoreTesting*", "Properties.*", "lowers|raises", LIMIT),
    Explained("AWS::CloudWatch::CompositeAlarm", "Properties.ActionsSuppressor*", "lowers|raises", LIMIT),
    Explained("AWS::ApplicationAutoScaling::ScalingPolicy", "*Cooldown", "lowers|raises", LIMIT),
    Explained("AWS::CE::AnomalySubscription", "*.Values", "lowers|raises", LIMIT),
    Explained("AWS::CloudWatch::Alarm", "*.Dimensions.Value", "misdirects|alters", RUNS),
    Explained("Custom::Cloudflare", "Properties.Document*", "*", EDGE),
    Explained("Custom::*", "Properties.*", "*", RUNS),
    Explained("Custom::S3AutoDeleteObjects", "", "removes", LESS),
)


def explanation(mutant: Mutant) -> Explained | None:
    return next((each for each in EXPLAINED if each.fits(mutant)), None)
