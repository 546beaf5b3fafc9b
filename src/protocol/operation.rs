//! The operations of A2A, whatever binding or version spelled them (1.0 section 3).

use crate::protocol::Version;

/// What a caller asks an agent to do. Named as in A2A 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the specification's own names")]
pub enum Operation {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    ListTasks,
    CancelTask,
    SubscribeToTask,
    CreateTaskPushNotificationConfig,
    GetTaskPushNotificationConfig,
    ListTaskPushNotificationConfigs,
    DeleteTaskPushNotificationConfig,
    GetExtendedAgentCard,
    /// Discovery: reading the public card at a well-known path.
    GetAgentCard,
}

/// What an operation does to an agent, for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationClass {
    /// Looks at tasks or cards.
    Read,
    /// Makes the agent do something, or stop.
    Execute,
    /// Says where the agent sends notifications, or shows that (with its secrets).
    Manage,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreateTaskPushNotificationConfig,
        Self::GetTaskPushNotificationConfig,
        Self::ListTaskPushNotificationConfigs,
        Self::DeleteTaskPushNotificationConfig,
        Self::GetExtendedAgentCard,
        Self::GetAgentCard,
    ];

    /// The class of the operation.
    #[must_use]
    pub const fn class(self) -> OperationClass {
        match self {
            Self::SendMessage | Self::SendStreamingMessage | Self::CancelTask => OperationClass::Execute,
            Self::GetTask | Self::ListTasks | Self::SubscribeToTask | Self::GetExtendedAgentCard | Self::GetAgentCard => {
                OperationClass::Read
            }
            Self::CreateTaskPushNotificationConfig
            | Self::GetTaskPushNotificationConfig
            | Self::ListTaskPushNotificationConfigs
            | Self::DeleteTaskPushNotificationConfig => OperationClass::Manage,
        }
    }

    /// The name that A2A 1.0 gives the operation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Self::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Self::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Self::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
            Self::GetAgentCard => "GetAgentCard",
        }
    }

    /// The operation behind a JSON-RPC method name, with the version whose name it is. Names are exact and
    /// case-sensitive; `None` for names of neither version.
    #[must_use]
    pub fn from_method(method: &str) -> Option<(Self, Version)> {
        use Version::{V0_3, V1_0};
        Some(match method {
            "message/send" => (Self::SendMessage, V0_3),
            "message/stream" => (Self::SendStreamingMessage, V0_3),
            "tasks/get" => (Self::GetTask, V0_3),
            "tasks/cancel" => (Self::CancelTask, V0_3),
            "tasks/resubscribe" => (Self::SubscribeToTask, V0_3),
            "tasks/pushNotificationConfig/set" => (Self::CreateTaskPushNotificationConfig, V0_3),
            "tasks/pushNotificationConfig/get" => (Self::GetTaskPushNotificationConfig, V0_3),
            "tasks/pushNotificationConfig/list" => (Self::ListTaskPushNotificationConfigs, V0_3),
            "tasks/pushNotificationConfig/delete" => (Self::DeleteTaskPushNotificationConfig, V0_3),
            "agent/getAuthenticatedExtendedCard" => (Self::GetExtendedAgentCard, V0_3),
            "SendMessage" => (Self::SendMessage, V1_0),
            "SendStreamingMessage" => (Self::SendStreamingMessage, V1_0),
            "GetTask" => (Self::GetTask, V1_0),
            "ListTasks" => (Self::ListTasks, V1_0),
            "CancelTask" => (Self::CancelTask, V1_0),
            "SubscribeToTask" => (Self::SubscribeToTask, V1_0),
            "CreateTaskPushNotificationConfig" => (Self::CreateTaskPushNotificationConfig, V1_0),
            "GetTaskPushNotificationConfig" => (Self::GetTaskPushNotificationConfig, V1_0),
            "ListTaskPushNotificationConfigs" => (Self::ListTaskPushNotificationConfigs, V1_0),
            "DeleteTaskPushNotificationConfig" => (Self::DeleteTaskPushNotificationConfig, V1_0),
            "GetExtendedAgentCard" => (Self::GetExtendedAgentCard, V1_0),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use crate::protocol::Version;

    #[test]
    fn a_method_name_tells_its_version() {
        assert_eq!(Operation::from_method("message/send"), Some((Operation::SendMessage, Version::V0_3)));
        assert_eq!(Operation::from_method("SendMessage"), Some((Operation::SendMessage, Version::V1_0)));
        for odd in ["sendMessage", "tasks/send", "message/send ", "GetAgentCard", "ListTaskPushNotificationConfig", ""] {
            assert_eq!(Operation::from_method(odd), None, "{odd:?}");
        }
    }
}
